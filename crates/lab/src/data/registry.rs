//! The data sets by name.

use std::path::Path;

use super::dataset::Parts;
use super::{LoadOptions, arrays, cifar, glyphs, idx, imagenet32, imagenette, images, sources, svhn, verify};
use crate::{Error, Result};

/// Where the images of a data set come from.
#[derive(Debug)]
pub(super) enum Origin {
    /// They are made from the seed.
    Generated,
    /// Their authors publish them.
    Published(&'static sources::Source),
    /// They are the user's own; the name says where.
    Own,
}

/// A data set that can be loaded by name.
#[derive(Debug)]
pub struct Entry {
    /// The name users write; of their own data the kind, and what comes behind its colon: `images:DIR`.
    pub name: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// Whether training crops and flips by default (the paper's recipe).
    pub augment: bool,
    pub(super) load: fn(&Entry, &LoadOptions) -> Result<Parts>,
    /// Files that are known by their names and digests.
    pub(super) files: fn() -> Vec<verify::KnownFile>,
    pub(super) origin: Origin,
}

impl Entry {
    /// Whether the data are the user's own, with their place behind the colon of the name.
    pub fn is_own(&self) -> bool {
        matches!(self.origin, Origin::Own)
    }

    fn is_of(&self, name: &str) -> bool {
        let kind = |name: &str| name.split_once(':').map(|(kind, _)| kind.to_string());
        self.name == name || (self.is_own() && kind(self.name) == kind(name))
    }
}

/// All data sets.
pub const DATASETS: &[Entry] = &[
    Entry {
        name: "glyphs",
        about: "ten classes of drawn figures, 28x28 grey, generated from the seed",
        augment: false,
        load: |_, options| Ok(Parts::of(glyphs::load(options, glyphs::Style::Grey), options)),
        files: Vec::new,
        origin: Origin::Generated,
    },
    Entry {
        name: "glyphs-colour",
        about: "the same figures, 32x32 in colour",
        augment: false,
        load: |_, options| Ok(Parts::of(glyphs::load(options, glyphs::Style::Colour), options)),
        files: Vec::new,
        origin: Origin::Generated,
    },
    Entry {
        name: "cifar10",
        about: "CIFAR-10, binary version: a folder or cifar-10-binary.tar.gz",
        augment: true,
        load: |_, options| Ok(Parts::of(cifar::load(options, &cifar::CIFAR10)?, options)),
        files: || cifar::known_files(&cifar::CIFAR10),
        origin: Origin::Published(&sources::CIFAR10),
    },
    Entry {
        name: "cifar100",
        about: "CIFAR-100, binary version: a folder or cifar-100-binary.tar.gz",
        augment: true,
        load: |_, options| Ok(Parts::of(cifar::load(options, &cifar::CIFAR100)?, options)),
        files: || cifar::known_files(&cifar::CIFAR100),
        origin: Origin::Published(&sources::CIFAR100),
    },
    Entry {
        name: "mnist",
        about: "MNIST, idx files",
        augment: false,
        load: |entry, options| Ok(Parts::of(idx::load(entry, options)?, options)),
        files: || idx::known_files("mnist"),
        origin: Origin::Published(&sources::MNIST),
    },
    Entry {
        name: "fashion-mnist",
        about: "Fashion-MNIST, idx files",
        augment: false,
        load: |entry, options| Ok(Parts::of(idx::load(entry, options)?, options)),
        files: || idx::known_files("fashion-mnist"),
        origin: Origin::Published(&sources::FASHION_MNIST),
    },
    Entry {
        name: "kmnist",
        about: "KMNIST, idx files",
        augment: false,
        load: |entry, options| Ok(Parts::of(idx::load(entry, options)?, options)),
        files: || idx::known_files("kmnist"),
        origin: Origin::Published(&sources::KMNIST),
    },
    Entry {
        name: "svhn",
        about: "SVHN, cropped digits in colour: train_32x32.mat and test_32x32.mat",
        augment: false,
        load: |entry, options| Ok(Parts::of(svhn::load(entry, options)?, options)),
        files: svhn::known_files,
        origin: Origin::Published(&sources::SVHN),
    },
    Entry {
        name: "imagenet32",
        about: "ImageNet32x32, 1000 classes: pickled batches or .npz",
        augment: true,
        load: |entry, options| Ok(Parts::of(imagenet32::load(entry, options)?, options)),
        files: imagenet32::known_files,
        origin: Origin::Published(&sources::IMAGENET32),
    },
    Entry {
        name: "imagenette",
        about: "Imagenette, ten classes of photographs at 128x128: folders of JPEG files",
        augment: true,
        load: |entry, options| Ok(Parts::of(imagenette::load(entry, options)?, options)),
        files: imagenette::known_files,
        origin: Origin::Published(&sources::IMAGENETTE),
    },
    Entry {
        name: "images:DIR",
        about: "your own JPEG and PNG files: a folder a class, in train/ and test/ or of which a part is the test set",
        augment: false,
        load: images::load,
        files: Vec::new,
        origin: Origin::Own,
    },
    Entry {
        name: "arrays:FILE",
        about: "your own .npz or safetensors file: images or features, with labels (classes) or values (regression)",
        augment: false,
        load: arrays::load,
        files: Vec::new,
        origin: Origin::Own,
    },
];

/// The entry of a name.
///
/// # Errors
/// [`Error::UnknownName`].
pub fn entry(name: &str) -> Result<&'static Entry> {
    let names: Vec<_> = DATASETS.iter().map(|entry| entry.name).collect();
    DATASETS.iter().find(|entry| entry.is_of(name)).ok_or_else(|| Error::unknown_name("data set", name, &names))
}

/// The place of the user's own data, behind the colon of a name; none for other sets and unknown names.
pub fn own_place(name: &str) -> Option<&Path> {
    let (_, place) = name.split_once(':')?;
    entry(name).is_ok_and(Entry::is_own).then(|| Path::new(place))
}

/// A name whose place does not depend on the current folder, so that a run goes on from any.
pub fn absolute(name: String) -> String {
    // An empty place and a `~` that no shell has written out are refused as they were given.
    let is_whole = |place: &str| !place.is_empty() && !Path::new(place).starts_with("~");
    let Some((kind, place)) = name.split_once(':').filter(|(_, place)| is_whole(place)) else { return name };
    let absolute = own_place(&name).and_then(|_| std::path::absolute(place).ok());
    // A current folder that is gone, or whose name is no text: what is given will be refused when it is looked into.
    let text = absolute.as_deref().and_then(Path::to_str);
    text.map_or(name.clone(), |text| format!("{kind}:{text}"))
}

/// A name that can be part of a folder's: `images:/home/photos` as `images-photos`.
pub fn short_name(name: &str) -> String {
    let Some(place) = own_place(name) else { return name.to_string() };
    let kind = name.split(':').next().unwrap_or_default();
    place.file_stem().map_or(kind.to_string(), |stem| format!("{kind}-{}", stem.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_unknown_ones_suggest() {
        let mut names: Vec<_> = DATASETS.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DATASETS.len());
        assert!(entry("cifar-10").expect_err("no such name").to_string().contains("did you mean `cifar10`"));
        assert!(entry("images").expect_err("no place").to_string().contains("did you mean `images:DIR`"));
    }

    #[test]
    fn own_data_have_their_place_behind_the_colon() {
        assert_eq!(own_place("images:some/folder:of mine"), Some(Path::new("some/folder:of mine")));
        assert_eq!([own_place("cifar10"), own_place("mnist:x"), own_place("images")], [None; 3]);
        assert_eq!(absolute("images:/a/b".into()), "images:/a/b");
        let here = std::env::current_dir().expect("a folder");
        assert_eq!(absolute("images:b".into()), format!("images:{}", here.join("b").display()));
        assert_eq!(
            ["cifar10", "images:", "images:~/x"].map(|name| absolute(name.into())),
            ["cifar10", "images:", "images:~/x"]
        );
        assert_eq!(["images:/a/pets/", "images:/", "mnist"].map(short_name), ["images-pets", "images", "mnist"]);
    }
}
