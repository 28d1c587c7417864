//! The files and folders that the wrong inputs name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::table::{self, Case};

/// What every study of the table begins with.
const STUDY: &str = "name = \"given\"\nquestion = \"Is it refused?\"\n";

/// What a study needs to run for a moment.
const TINY: &str =
    "[base]\nepochs = 1\nbatch = 16\ndata = { train-limit = 32, test-limit = 9 }\nmodel = { width = 0.05 }\n";

/// A file of this length takes no room, and no machine can read it whole.
const HUGE: u64 = 1 << 40;

pub struct Given {
    folder: tempfile::TempDir,
    /// Files that lines of the table spell out.
    texts: tempfile::TempDir,
    made: AtomicUsize,
}

impl Given {
    pub fn make() -> Self {
        let [folder, texts] = ["a folder", "another"].map(|what| tempfile::tempdir().expect(what));
        let given = Self { folder, texts, made: AtomicUsize::new(0) };
        given.files();
        given.data();
        given.results();
        given.batches();
        given
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    fn huge(&self, name: &str) {
        self.write(name, "");
        File::options().write(true).open(self.path(name)).and_then(|file| file.set_len(HUGE)).expect("a file");
    }

    /// Files that are no settings, no weights, no archives, and paths that lead nowhere.
    fn files(&self) {
        self.write("folder/inside", "a file");
        self.write("folder.toml/inside", "a file");
        self.write("folder-of-file/mnist", "a file");
        self.write("empty", "");
        self.write("noise", noise());
        self.write("text", "Dear reader,\nthis is a letter.\n");
        self.write("page", "<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n");
        self.write("utf16", "\u{feff}epochs = 3\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
        self.huge("huge");
        self.write("huge-header", [&u64::MAX.to_le_bytes()[..], b"{}"].concat());
        let axis = |axis: usize| {
            format!("[[axis]]\nname = \"{axis}\"\nkey = \"batch\"\nvalues = {:?}\n", Vec::from_iter(1..=32))
        };
        self.write("huge-grid", STUDY.to_string() + &(0..12).map(axis).collect::<String>());
        fs::create_dir(self.path("empty-folder")).expect("a folder");
        symlink("loop", self.path("loop")).expect("a link");
        symlink("nowhere", self.path("dangling")).expect("a link");
    }

    /// Folders that are no data sets.
    fn data(&self) {
        let files =
            ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];
        for file in files {
            self.write(&format!("mnist-of-folders/{file}/inside"), "a file");
            self.write(&format!("mnist-of-noise/{file}"), noise());
        }
    }

    /// A run, weights and a study, whole ones; and studies that are damaged.
    fn results(&self) {
        self.foregrad("train --width 0.05 --train-limit 32 --test-limit 9 --batch 16 --epochs 1 --quiet --out run");
        self.foregrad("init --width 0.05 --out weights.safetensors");
        self.write("tiny.toml", STUDY.to_string() + TINY);
        self.foregrad("study tiny.toml --quiet --out study");
        fs::remove_file(self.path("tiny.toml")).expect("a file");
        let (file, row) = ("study.toml", "runs/seed0/row.json");
        let whole = fs::read(self.path("study/study.toml")).expect("a study");
        let damaged = |name: &str, damage: &dyn Fn(&str)| {
            self.write(&format!("{name}/{file}"), &whole);
            damage(name);
        };
        damaged("study-empty", &|name| self.write(&format!("{name}/{file}"), ""));
        damaged("study-noise", &|name| self.write(&format!("{name}/{file}"), noise()));
        damaged("study-huge", &|name| self.huge(&format!("{name}/{file}")));
        damaged("study-row-noise", &|name| self.write(&format!("{name}/{row}"), noise()));
        damaged("study-row-huge", &|name| self.huge(&format!("{name}/{row}")));
        damaged("study-row-folder", &|name| self.write(&format!("{name}/{row}/inside"), "a file"));
    }

    /// Mini-batches, of which one is whole.
    fn batches(&self) {
        let images = vec![0; 4 * 2 * 3 * 32 * 32];
        let images = |shape: &[usize]| TensorView::new(Dtype::F32, shape.to_vec(), &images).expect("a tensor");
        let image = [2, 3, 32, 32];
        let bytes = |labels: &[i64]| labels.iter().flat_map(|label| label.to_le_bytes()).collect::<Vec<u8>>();
        for (name, shape, labels) in [
            ("batch", &image[..], &[0, 1][..]),
            ("batch-label-99", &image, &[0, 99]),
            ("batch-of-three-labels", &image, &[0, 1, 2]),
            ("batch-of-rank-3", &[6, 32, 32], &[0, 1]),
        ] {
            let bytes = bytes(labels);
            let labels = TensorView::new(Dtype::I64, vec![labels.len()], &bytes).expect("a tensor");
            let tensors = [("images", images(shape)), ("labels", labels)];
            self.write(name, safetensors::serialize(tensors, None).expect("a file"));
        }
        self.write("batch-without-labels", safetensors::serialize([("images", images(&image))], None).expect("a file"));
    }

    fn foregrad(&self, arguments: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foregrad"));
        let output =
            command.current_dir(self.folder.path()).args(arguments.split(' ')).output().expect("the binary runs");
        assert!(output.status.success(), "`{arguments}`: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The arguments of a case.
    pub fn arguments(&self, case: &Case) -> Vec<OsString> {
        table::split(&case.arguments).iter().map(|argument| self.argument(argument)).collect()
    }

    fn argument(&self, argument: &str) -> OsString {
        let Some((before, rest)) = argument.split_once('{') else {
            return if argument == "''" { OsString::new() } else { argument.into() };
        };
        let (name, after) = rest.rsplit_once('}').expect("a brace");
        let path = match name.split_once(':') {
            Some(("toml", text)) => self.text(text),
            Some(("study", text)) => self.text(&(STUDY.to_string() + text)),
            _ => self.named(name),
        };
        let mut whole = OsString::from(before);
        whole.push(path);
        whole.push(after);
        whole
    }

    /// A file of a text in a folder of its own.
    fn text(&self, text: &str) -> PathBuf {
        let folder = self.texts.path().join(self.made.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&folder).expect("a folder");
        let path = folder.join("given.toml");
        fs::write(&path, text.replace("\\n", "\n")).expect("a file");
        path
    }

    fn named(&self, name: &str) -> PathBuf {
        match name {
            "missing" => self.path(name),
            "below" => self.path("empty").join(name),
            "long" => self.path(&"n".repeat(300)),
            "bytes" => self.folder.path().join(OsString::from_vec(b"caf\xe9".to_vec())),
            "weights" => self.path("weights.safetensors"),
            _ => {
                let path = self.path(name);
                assert!(path.symlink_metadata().is_ok(), "nothing is made for {{{name}}}");
                path
            }
        }
    }

    /// Every path and its length and time.
    pub fn digest(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        walk(self.folder.path(), &mut found);
        found
    }
}

fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let about = path.symlink_metadata().expect("an entry");
        if about.is_dir() {
            walk(&path, found);
        }
        found.insert(path, format!("{} {:?}", about.len(), about.modified().expect("a time")));
    }
}

/// Bytes of no format.
fn noise() -> Vec<u8> {
    let next = |state: &u64| Some(state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
    std::iter::successors(Some(1_u64), next).map(|state| (state >> 56) as u8).take(4096).collect()
}
