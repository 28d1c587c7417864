//! The part of one's own data that becomes the test set.

use foregrad::rng::Stream;

/// Numbers of the samples that are kept and that are held out, both in order: of each class the same part, drawn by the seed. A class
/// of two or more has at least one sample in either.
pub(super) fn parted(classes: &[u16], part: f64, seed: u64) -> [Vec<usize>; 2] {
    let count = classes.iter().max().map_or(0, |last| usize::from(*last) + 1);
    let mut members = vec![Vec::new(); count];
    classes.iter().enumerate().for_each(|(sample, class)| members[usize::from(*class)].push(sample));
    let [mut kept, mut held] = [Vec::new(), Vec::new()];
    for (class, members) in members.iter().enumerate() {
        let size = match members.len() {
            0 | 1 => 0,
            all => ((part * all as f64).round() as usize).clamp(1, all - 1),
        };
        let order = Stream::new(seed, "test-part").at(class as u64).permutation(members.len());
        held.extend(order[..size].iter().map(|place| members[*place]));
        kept.extend(order[size..].iter().map(|place| members[*place]));
    }
    kept.sort_unstable();
    held.sort_unstable();
    [kept, held]
}

/// Numbers of so many samples, in order: the first of each class, the second of each and so on.
pub(super) fn in_turn(classes: &[usize], count: usize, limit: usize) -> Vec<usize> {
    let mut seen = vec![0; count];
    let mut ranked: Vec<(usize, usize)> = Vec::with_capacity(classes.len());
    for (sample, class) in classes.iter().enumerate() {
        ranked.push((seen[*class], sample));
        seen[*class] += 1;
    }
    ranked.sort_unstable();
    let mut chosen: Vec<usize> = ranked.into_iter().take(limit).map(|(_, sample)| sample).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_come_in_turn_though_a_file_is_sorted_by_them() {
        let classes = [0, 0, 0, 0, 1, 1, 1, 2];
        assert_eq!(in_turn(&classes, 3, 4), [0, 1, 4, 7]);
        assert_eq!(in_turn(&classes, 3, 6), [0, 1, 2, 4, 5, 7]);
        assert_eq!(in_turn(&classes, 3, 99), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn every_class_gives_its_part_and_the_seed_says_which() {
        let classes: Vec<u16> = (0..103).map(|sample| if sample < 100 { sample % 2 } else { sample - 98 }).collect();
        let [kept, held] = parted(&classes, 0.2, 7);
        let mut all = [kept.clone(), held.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
        let of = |class| held.iter().filter(|sample| classes[**sample] == class).count();
        assert_eq!([of(0), of(1), of(2), of(3), of(4)], [10, 10, 0, 0, 0], "a lone sample is learnt from");
        assert_eq!(parted(&classes, 0.2, 7), [kept.clone(), held]);
        assert_ne!(parted(&classes, 0.2, 8)[0], kept);
        assert_eq!(parted(&[0, 0], 0.01, 0).map(|part| part.len()), [1, 1]);
    }
}
