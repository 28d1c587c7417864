//! Where the authors of each data set publish it, and the MD5 digests that they (or torchvision) give.

/// How a data set is obtained.
#[derive(Debug)]
pub(super) struct Source {
    /// What the names of the files are appended to.
    pub base: &'static str,
    /// The files and their digests.
    pub files: &'static [(&'static str, &'static str)],
    /// What is done with them.
    pub kind: Kind,
}

/// What is done with the files of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// They are kept as they are.
    Plain,
    /// They are archives, unpacked to a folder of this name.
    Archive(&'static str),
    /// They need an account: the user fetches them by hand.
    Account,
}

pub(super) const CIFAR10: Source = Source {
    base: "https://www.cs.toronto.edu/~kriz/",
    files: &[("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")],
    kind: Kind::Archive("cifar-10-batches-bin"),
};

pub(super) const CIFAR100: Source = Source {
    base: "https://www.cs.toronto.edu/~kriz/",
    files: &[("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8")],
    kind: Kind::Archive("cifar-100-binary"),
};

pub(super) const MNIST: Source = Source {
    base: "https://ossci-datasets.s3.amazonaws.com/mnist/",
    files: &[
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ],
    kind: Kind::Plain,
};

pub(super) const FASHION_MNIST: Source = Source {
    base: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    files: &[
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ],
    kind: Kind::Plain,
};

pub(super) const KMNIST: Source = Source {
    base: "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    files: &[
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ],
    kind: Kind::Plain,
};

pub(super) const SVHN: Source = Source {
    base: "http://ufldl.stanford.edu/housenumbers/",
    files: &[
        ("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
        ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
    ],
    kind: Kind::Plain,
};

pub(super) const IMAGENET32: Source = Source {
    base: "https://image-net.org/download-images",
    files: &[
        ("train_data_batch_1", "dd6683a336ab645d336f7b47c67d8456"),
        ("train_data_batch_2", "b9b1f5ad237638a41e80944fc03b42af"),
        ("train_data_batch_3", "e33306a0f4234b5c5812a32845bfbd04"),
        ("train_data_batch_4", "4db6d81c460a5170a03ef03e1ddd21dd"),
        ("train_data_batch_5", "baa0f1d06099f55e5fe50d43fca4d334"),
        ("train_data_batch_6", "bba3bc6e83e0703df1ec7e277e0b6800"),
        ("train_data_batch_7", "48dd0fd4511b39d518dbabba2f5b36b7"),
        ("train_data_batch_8", "46583e44f926baaeacbf8c333dc6110f"),
        ("train_data_batch_9", "7c82c36ce028b457204f1080d1793669"),
        ("train_data_batch_10", "14e3a6ce19d584ba97208a1d9f551e63"),
        ("val_data", "4836a1eec28cd4476eb017126cd0f059"),
    ],
    kind: Kind::Account,
};

pub(super) const IMAGENETTE: Source = Source {
    base: "https://s3.amazonaws.com/fast-ai-imageclas/",
    files: &[("imagenette2-160.tgz", "e793b78cc4c9e9a4ccc0c1155377a412")],
    kind: Kind::Archive("imagenette2-160"),
};
