//! How guess and target agree, from probes, beside the heads' losses.

use super::figure::{Figure, Look, Point};
use super::training::point;
use super::{Chart, Data, Section, Variant};
use crate::report::spread::averaged;
use crate::train::{EpochRecord, ProbeRecord};

/// What makes probes.
const PROBES: &str = "No guess was probed; `probe-every = 50` under `[base]` of the study measures one every 50 steps.";

/// Bins of the histogram, over cosines from -1 to 1.
const BINS: usize = 40;

/// Every combination's alignment of guess with target by block over steps, and its heads' losses over epochs
/// (Figs. 4, 5, 8 and 9 of the paper).
pub fn by_block(data: &Data<'_>) -> Section {
    let combinations = &data.summary.combinations;
    let charts = combinations.iter().enumerate().filter_map(|(index, own)| combination(data, index, own));
    let charts: Vec<Chart> = charts.collect();
    let mut absent = Vec::new();
    let without: Vec<&str> =
        combinations.iter().filter(|own| alignments(data, own).is_empty()).map(|own| own.name.as_str()).collect();
    if without.len() == combinations.len() {
        absent.push(PROBES.to_string());
    } else if !without.is_empty() {
        absent.push(format!("Without probes of a guess, which exact gradients do not need: {}.", without.join("; ")));
    }
    if combinations.iter().all(|own| local_losses(data, own).is_empty()) {
        absent.push("No head has learnt: there are no local losses.".into());
    }
    Section {
        id: "blocks",
        title: "Guess and target by block",
        about: "Cosine between guess and target over steps (1: the guess is the target's direction, 0: it tells \
                nothing of it), and the training loss of every block's head; means over seeds.",
        absent,
        sentences: Vec::new(),
        charts,
    }
}

/// Lines by block: which one, none for the network as a whole, and its points.
type Lines = Vec<(Option<usize>, Vec<Point>)>;

fn combination(data: &Data<'_>, index: usize, own: &Variant) -> Option<Chart> {
    let parts = [
        (["step", "cosine of guess and target"], alignments(data, own)),
        (["epoch", "train loss of the head"], local_losses(data, own)),
    ];
    let parts: Vec<([&str; 2], Lines)> = parts.into_iter().filter(|(_, lines)| !lines.is_empty()).collect();
    let last = parts.iter().flat_map(|(_, lines)| lines.iter().filter_map(|(block, _)| *block)).max()?;
    let titles: Vec<[&str; 2]> = parts.iter().map(|(titles, _)| *titles).collect();
    let mut figure = Figure::new(&titles);
    for (panel, (_, lines)) in parts.into_iter().enumerate() {
        for (block, points) in lines {
            match block {
                Some(block) => figure.line(panel, &format!("block {block}"), &Look::in_order(block, last + 1), points),
                None => figure.line(panel, "network", &Look::whole(), points),
            }
        }
    }
    Some(figure.chart(format!("chart-blocks-{index}"), &own.name))
}

fn alignments(data: &Data<'_>, own: &Variant) -> Lines {
    let probes = data.runs(own).flat_map(|run| &run.probes);
    let blocks = probes.flat_map(|probe| probe.blocks.iter().map(|block| block.block + 1)).max().unwrap_or(0);
    let line = |block: usize| {
        let value = |probe: &ProbeRecord| {
            let measured = probe.blocks.iter().find(|measured| measured.block == block)?;
            Some((probe.step, measured.guess_alignment?))
        };
        let curve = averaged(data.runs(own).map(|run| run.probes.iter().filter_map(value).collect()));
        let points: Vec<Point> = curve.into_iter().map(|(step, spread)| point(step, "step", spread, 3)).collect();
        (Some(block), points)
    };
    (0..blocks).map(line).filter(|(_, points)| !points.is_empty()).collect()
}

fn local_losses(data: &Data<'_>, own: &Variant) -> Lines {
    let depth = data.runs(own).flat_map(|run| &run.epochs).map(|epoch| epoch.train.len()).max().unwrap_or(0);
    let line = |block: usize| {
        let value = |epoch: &EpochRecord| Some((epoch.epoch, epoch.train.get(block)?.as_ref()?.loss));
        let curve = averaged(data.runs(own).map(|run| run.epochs.iter().filter_map(value).collect()));
        let points: Vec<Point> = curve.into_iter().map(|(epoch, spread)| point(epoch, "epoch", spread, 4)).collect();
        ((block + 1 < depth).then_some(block), points)
    };
    let lines: Lines = (0..depth).map(line).filter(|(_, points)| !points.is_empty()).collect();
    // The network's loss alone is no local loss.
    if lines.len() > 1 { lines } else { Vec::new() }
}

/// How often which cosine was met, over blocks, probes and seeds.
pub fn distribution(data: &Data<'_>) -> Section {
    let mut figure = Figure::new(&[["cosine of guess and target", "part of the measurements, %"]]);
    for (index, own) in data.summary.combinations.iter().enumerate() {
        let blocks = data.runs(own).flat_map(|run| &run.probes).flat_map(|probe| &probe.blocks);
        // What is no number lies in no bin.
        let cosines: Vec<f64> = blocks.filter_map(|block| block.guess_alignment.filter(|own| !own.is_nan())).collect();
        figure.steps(0, &own.name, &Look::of(index), histogram(&cosines));
    }
    Section {
        id: "cosines",
        title: "Distribution of cosines",
        about: "How often which cosine between guess and target was measured, over blocks, probes and seeds.",
        absent: figure.is_empty().then(|| PROBES.to_string()).into_iter().collect(),
        sentences: Vec::new(),
        charts: (!figure.is_empty()).then(|| figure.chart("chart-cosines", "")).into_iter().collect(),
    }
}

/// The parts of all cosines that lie in bins between -1 and 1: from the first bin that has any to the last, with an
/// empty one on either side so that the outline comes down.
fn histogram(cosines: &[f64]) -> Vec<Point> {
    let mut counts = [0_usize; BINS];
    for cosine in cosines {
        let place = (cosine + 1.0) / 2.0 * BINS as f64;
        counts[(place.max(0.0) as usize).min(BINS - 1)] += 1;
    }
    let Some(first) = counts.iter().position(|count| *count > 0) else { return Vec::new() };
    let last = counts.iter().rposition(|count| *count > 0).unwrap_or(first);
    let width = 2.0 / BINS as f64;
    let bin = |bin: isize| {
        let count = usize::try_from(bin).ok().and_then(|bin| counts.get(bin)).copied().unwrap_or(0);
        let (from, part) = (bin as f64 * width - 1.0, 100.0 * count as f64 / cosines.len() as f64);
        let text = format!("{from:.2} to {:.2}: {part:.1} % of {} measurements", from + width, cosines.len());
        Point { x: from + width / 2.0, y: part, text }
    };
    (first as isize - 1..=last as isize + 1).map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cosine_is_counted_once() {
        let bins = histogram(&[-1.0, 1.0, 0.01, 0.02]);
        assert_eq!(bins.iter().map(|bin| bin.y).sum::<f64>(), 100.0);
        assert_eq!((bins.len(), bins[1].y, bins[21].y, bins[40].y), (42, 25.0, 50.0, 25.0));
        assert!(bins[21].text.starts_with("0.00 to 0.05: 50.0 % of 4"), "{}", bins[21].text);
        assert_eq!(histogram(&[0.42]).iter().map(|bin| bin.y).collect::<Vec<_>>(), [0.0, 100.0, 0.0]);
        assert!(histogram(&[]).is_empty());
    }
}
