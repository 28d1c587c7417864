//! The binary as its users meet it: exit codes, standard output, standard error.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use std::process::Command;

use common::{command, end_of, fails, succeeds, write_batch};

/// A tiny run's flags.
const TINY: &str = "--width 0.05 --train-limit 64 --test-limit 20 --batch 16 --epochs 1 --quiet";

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A folder named by the environment serves every command that no flag or file gives one to, and leaves generated sets alone.
#[test]
fn the_environment_names_the_folder_of_data() {
    let dir = dir();
    let run = |arguments: &str| {
        let mut command = command(dir.path(), arguments);
        command.env("FOREGRAD_DATA", "from-environment");
        let ended = end_of(command);
        (ended.code, ended.said)
    };
    for (arguments, folder) in [
        ("train --dataset cifar10", "from-environment"),
        ("train --dataset cifar10 --data-dir from-flag", "from-flag"),
        ("study slice --verify", "from-environment"),
        ("study slice --verify --data-dir from-flag", "from-flag"),
    ] {
        let (code, text) = run(arguments);
        assert!(code != Some(0) && text.contains(&format!("{folder}/data_batch_1.bin")), "`{arguments}`: {text}");
    }
    for arguments in [format!("train {TINY} --out run"), "train --resume --epochs 2 --quiet --out run".into()] {
        let (code, text) = run(&arguments);
        assert_eq!(code, Some(0), "`{arguments}`: {text}");
    }
}

#[test]
fn bad_usage_is_said_with_exit_code_2() {
    let dir = dir();
    let cases = [
        ("train --dataset glyph", "did you mean `glyphs`"),
        ("train --guess gausian", "did you mean `gaussian`"),
        ("train --model resnet18", "did you mean `resnet18-8b`"),
        ("train --head cnnn", "did you mean `cnn`"),
        ("train --batch 0", "--batch is 0; expected from 1"),
        ("train --epochs 0", "--epochs is 0"),
        ("train --epochs -3", "--epochs"),
        ("train --width 0", "--width is 0"),
        ("train --lr nan", "--lr is NaN"),
        ("train --directions 0", "--directions is 0"),
        ("train --train-limit 20 --batch 64", "at most the 20 training images"),
        ("train --train-limit 0", "--train-limit is 0"),
        ("train --guess exact --target global", "--mode oracle"),
        ("train --guess low-rank --space activity", "--space weight"),
        ("train --guess local --directions 3", "one direction"),
        ("train --granularity sample", "--granularity tensor, block or network"),
        ("train --granularity network --target local", "--granularity block, or --target global"),
        ("train --mix 2 --target local", "--target global"),
        ("train --guess-horizon 1 --guess gaussian", "--guess-horizon 0"),
        ("train --last-block estimated", "--last-block exact"),
        ("train --dataset cifar10", "--data-dir"),
        ("train --dataset mnist --data-dir nowhere", "looked for"),
        ("train --device cuda:x", "cuda:0"),
        ("train --threads 99999999", "--threads is 99999999"),
        ("train --device tpu", "unknown device"),
        ("train --config missing.toml", "missing.toml"),
        ("train --resume --out nothing", "nothing"),
        ("eval --weights none.safetensors", "none.safetensors"),
        ("init --out w.safetensors --image 3x32", "--image"),
        ("data preview --dataset glyphs --out none/x.png --columns 0", "0 is not in"),
    ];
    for (arguments, expected) in cases {
        let text = fails(dir.path(), arguments, 2);
        assert!(text.contains(expected), "`{arguments}`: {text}");
    }
}

#[test]
fn a_run_is_scored_resumed_and_guarded() {
    let dir = dir();
    let text = succeeds(dir.path(), &format!("train {TINY} --out run"));
    assert!(text.contains("network") && text.contains("test accuracy"), "{text}");
    assert!(dir.path().join("run/config.toml").exists());
    let text = fails(dir.path(), &format!("train {TINY} --out run"), 2);
    assert!(text.contains("--overwrite"), "{text}");
    fails(dir.path(), "train --resume --out run --lr 0.1", 2);
    let text = fails(dir.path(), "train --resume --out run", 2);
    assert!(text.contains("more than the 1 that are done"), "{text}");
    let json = succeeds(dir.path(), "eval --weights run/checkpoint-00000004.safetensors --json");
    let scores: serde_json::Value = serde_json::from_str(&json).expect("json");
    assert_eq!(scores.as_array().map(Vec::len), Some(6));
    let again = succeeds(dir.path(), "train --config run/config.toml --out again --quiet --json");
    let record: serde_json::Value = serde_json::from_str(&again).expect("json");
    let first = std::fs::read_to_string(dir.path().join("run/metrics.jsonl")).expect("metrics");
    let first: serde_json::Value = serde_json::from_str(&first).expect("json");
    assert_eq!(record["test"], first["test"], "the folder's settings rerun the run");
    assert_eq!(scores[5]["accuracy"], first["test"][5]["accuracy"]);
}

#[test]
fn a_place_that_cannot_be_written_to_is_refused_before_anything_is_done() {
    let dir = dir();
    std::fs::write(dir.path().join("file"), "in the way").expect("a file");
    for command in [
        &format!("train {TINY} --out file/run"),
        "init --width 0.05 --out file/w.safetensors",
        "data preview --dataset glyphs --out none/x.png",
    ] {
        assert!(fails(dir.path(), command, 2).contains("--out is "), "{command}");
    }
}

#[test]
fn a_diverging_run_fails_with_exit_code_1() {
    let dir = dir();
    let text = fails(dir.path(), &format!("train {TINY} --guess exact --mode oracle --lr 1e30 --out run"), 1);
    assert!(text.contains("not finite"), "{text}");
}

#[test]
fn lists_previews_and_help_are_there() {
    let dir = dir();
    assert!(succeeds(dir.path(), "data list").contains("fashion-mnist"));
    assert!(succeeds(dir.path(), "data verify --dataset glyphs").contains("no files"));
    succeeds(dir.path(), "data preview --dataset glyphs-colour --out sheet.png --columns 3");
    assert!(dir.path().join("sheet.png").exists());
    let help = succeeds(dir.path(), "train --help");
    for name in ["rademacher", "resnet18-16b", "predsim", "one-cycle", "intermediate", "Examples"] {
        assert!(help.contains(name), "help does not mention {name}");
    }
}

#[test]
fn verify_says_what_it_checked_and_what_it_did_not() {
    let dir = dir();
    let image = [[0, 0, 8, 3], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [7, 0, 0, 0]].concat();
    let label = [[0, 0, 8, 1], [0, 0, 0, 1], [3, 0, 0, 0]].concat();
    for part in ["train", "t10k"] {
        std::fs::write(dir.path().join(format!("{part}-images-idx3-ubyte")), &image[..17]).expect("a file");
        std::fs::write(dir.path().join(format!("{part}-labels-idx1-ubyte")), &label[..9]).expect("a file");
    }
    let verify = |code: i32| {
        let ended = end_of(command(dir.path(), "data verify --dataset mnist --data-dir ."));
        assert_eq!(ended.code, Some(code), "{}", ended.said);
        (ended.out, ended.said)
    };
    let (table, text) = verify(0);
    assert_eq!(table.matches("no published digest, decoded").count(), 4, "{table}");
    assert!(text.contains("every image and label was decoded; of 4 no digest is published"), "said: `{text}`");
    assert!(text.contains("other files beside them were not looked at"), "{text}");
    std::fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte")).expect("a file");
    let (table, text) = verify(1);
    assert!(table.contains("missing") && table.matches(", not decoded").count() == 3, "{table}");
    assert!(text.contains("nothing was decoded, because files are missing"), "{text}");
}

#[test]
fn a_step_gives_names_that_another_implementation_can_compare() {
    let dir = dir();
    succeeds(dir.path(), "init --model resnet18-8b --width 0.05 --image 1x9x9 --classes 3 --out w.safetensors");
    write_batch(&dir.path().join("b.safetensors"), [2, 1, 9, 9], &[0, 2]);
    let step = "step --model resnet18-8b --width 0.05 --weights w.safetensors --batch b.safetensors --dtype f64";
    succeeds(dir.path(), &format!("{step} --guess gaussian --granularity block --out u.safetensors"));
    let first = std::fs::read(dir.path().join("u.safetensors")).expect("an update");
    let file = safetensors::SafeTensors::deserialize(&first).expect("safetensors");
    for name in
        ["update/layer1.0.conv1.weight", "guess/0/conv1.weight", "scalar/blocks.0", "loss/network", "update/fc.bias"]
    {
        assert!(file.tensor(name).is_ok(), "no {name} among {:?}", file.names());
    }
    // The guesses of one step, given to the next: the same update.
    succeeds(
        dir.path(),
        &format!("{step} --guess gaussian --granularity block --seed 9 --guess-file u.safetensors --out v.safetensors"),
    );
    let second = std::fs::read(dir.path().join("v.safetensors")).expect("an update");
    let second = safetensors::SafeTensors::deserialize(&second).expect("safetensors");
    let of = |file: &safetensors::SafeTensors| file.tensor("update/conv1.weight").expect("an update").data().to_vec();
    assert_eq!(of(&file), of(&second));
    write_batch(&dir.path().join("b.safetensors"), [2, 1, 9, 9], &[0, 3]);
    assert!(fails(dir.path(), &format!("{step} --out u.safetensors"), 2).contains("labels from 0 to 2"));
    let other =
        "step --model resnet18-8b --width 0.1 --weights w.safetensors --batch b.safetensors --out x.safetensors";
    assert!(fails(dir.path(), other, 2).contains("labels from 0 to 2"));
    write_batch(&dir.path().join("b.safetensors"), [2, 1, 9, 9], &[0, 1]);
    assert!(fails(dir.path(), other, 2).contains("of shape"));
}

/// Mixing's running means move on from those of the checkpoint whose weights a step takes.
#[test]
fn a_step_goes_on_with_the_state_of_a_checkpoint() {
    let dir = dir();
    succeeds(dir.path(), &format!("train {TINY} --mix 1 --out run"));
    write_batch(&dir.path().join("b.safetensors"), [2, 1, 9, 9], &[0, 2]);
    let checkpoint = "run/checkpoint-00000004.safetensors";
    succeeds(dir.path(), &format!("step --weights {checkpoint} --batch b.safetensors --dtype f64 --out u.safetensors"));
    let read = |name: &str| std::fs::read(dir.path().join(name)).expect("a file");
    let (kept, stepped) = (read(checkpoint), read("u.safetensors"));
    let (_, header) = safetensors::SafeTensors::read_metadata(&kept).expect("a header");
    let position = header.metadata().as_ref().expect("texts")["position"].clone();
    let position: serde_json::Value = serde_json::from_str(&position).expect("json");
    let before = position["numbers"]["mix.blocks.0"].as_f64().expect("a running mean");
    let file = safetensors::SafeTensors::deserialize(&stepped).expect("safetensors");
    let [scalar, after] = ["scalar/blocks.0", "state/mix.blocks.0"]
        .map(|name| f64::from_le_bytes(file.tensor(name).expect(name).data().try_into().expect("one number")));
    let expected = 0.95 * before + 0.05 * scalar;
    assert!((after - expected).abs() < 1e-12 && (after - scalar).abs() > 1e-9, "{before}, {scalar}: {after}");
    // A whole output is a file of guesses too.
    let again = "--guess-file u.safetensors --out v.safetensors";
    succeeds(dir.path(), &format!("step --weights {checkpoint} --batch b.safetensors --dtype f64 {again}"));
}

/// What feedback has learnt in a run is what a step from its checkpoint feeds back, and learns on.
#[test]
fn a_step_goes_on_with_the_feedback_of_a_checkpoint() {
    let dir = dir();
    succeeds(
        dir.path(),
        &format!("train {TINY} --guess feedback --guess-feedback-rule mean --projection off --out run"),
    );
    let checkpoint = "run/checkpoint-00000004.safetensors";
    let step = format!("step --weights {checkpoint} --batch b.safetensors --out");
    write_batch(&dir.path().join("b.safetensors"), [2, 1, 9, 9], &[0, 2]);
    assert!(fails(dir.path(), &format!("{step} u.safetensors"), 2).contains("feedback is for outputs of one size"));
    write_batch(&dir.path().join("b.safetensors"), [2, 1, 28, 28], &[0, 2]);
    succeeds(dir.path(), &format!("{step} kept.safetensors --guess-feedback-start uniform --guess-feedback-rate 0"));
    succeeds(dir.path(), &format!("{step} learnt.safetensors"));
    let read = |name: &str| std::fs::read(dir.path().join(name)).expect("a file");
    let files = [checkpoint, "kept.safetensors", "learnt.safetensors"].map(read);
    let [before, kept, learnt] =
        [0, 1, 2].map(|file| safetensors::SafeTensors::deserialize(&files[file]).expect("safetensors"));
    for block in 0..5 {
        let of = |file: &safetensors::SafeTensors, scope: &str| {
            file.tensor(&format!("{scope}guess.feedback.blocks.{block}")).expect("a matrix").data().to_vec()
        };
        let before = of(&before, "estimator.");
        assert!(before.iter().any(|byte| *byte != 0), "block {block} has learnt");
        assert!(of(&kept, "state/") == before && of(&learnt, "state/") != before, "block {block}");
        let steps = learnt.tensor(&format!("state/guess.feedback.steps.blocks.{block}")).expect("a number");
        assert_eq!(f32::from_le_bytes(steps.data().try_into().expect("one number")), 5.0);
    }
}

/// Ctrl-C, as a terminal sends it: a checkpoint, exit code 130, and a run that goes on to its end.
#[cfg(unix)]
#[test]
fn an_interrupted_run_ends_cleanly_and_resumes() {
    let dir = dir();
    let arguments = "train --width 0.05 --train-limit 640 --test-limit 20 --batch 16 --epochs 30 --quiet --out run";
    let mut child = Command::new(env!("CARGO_BIN_EXE_foregrad"))
        .current_dir(dir.path())
        .args(arguments.split_whitespace())
        .spawn()
        .expect("the binary runs");
    // The first checkpoint shows that the run is under way.
    let has_checkpoint = || {
        let names = std::fs::read_dir(dir.path().join("run")).into_iter().flatten().flatten();
        names.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("checkpoint-"))
    };
    while !has_checkpoint() && child.try_wait().expect("a child").is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    succeeds(dir.path(), "train --resume --out run --quiet");
    let lines = std::fs::read_to_string(dir.path().join("run/metrics.jsonl")).expect("metrics");
    assert_eq!(lines.lines().count(), 30);
}

/// The limits of single precision are for devices that have no other; on the CPU they must hold too.
#[test]
fn the_identities_hold_in_single_precision() {
    succeeds(dir().path(), "check --dtype f32 --quiet");
}

#[test]
fn an_unknown_path_for_the_kernels_is_said() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foregrad"));
    let output = command.args(["data", "list"]).env("FOREGRAD_KERNELS", "fast").output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(text.starts_with("error: ") && text.contains("`fast`; expected `native`"), "{text}");
}

#[test]
#[cfg(unix)]
fn a_reader_that_has_gone_ends_nothing() {
    let dir = dir();
    let binary = env!("CARGO_BIN_EXE_foregrad");
    let shell = |line: String| {
        let output = Command::new("bash").current_dir(dir.path()).args(["-c", &line]).output().expect("bash runs");
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    };
    // The status of the binary itself, with a standard output (and error) that nobody reads.
    assert_eq!(shell(format!("{binary} data list | true; echo ${{PIPESTATUS[0]}}")), "0");
    assert_eq!(shell(format!("{binary} train --guess gausian 2>&1 | true; echo ${{PIPESTATUS[0]}}")), "2");
    let train = format!("{binary} train {} --json --out run", TINY.replace("--quiet", ""));
    assert_eq!(shell(format!("{train} 2>&1 | true; echo ${{PIPESTATUS[0]}}")), "0");
    assert!(dir.path().join("run/checkpoint-00000004.safetensors").exists(), "the run went on to its end");
}

#[test]
fn a_network_that_is_named_has_its_full_width() {
    let dir = dir();
    succeeds(dir.path(), "init --model mlp --image 1x28x28 --classes 10 --out named.safetensors");
    let size = |name: &str| std::fs::metadata(dir.path().join(name)).expect("a file").len();
    succeeds(dir.path(), "init --model mlp --width 1 --image 1x28x28 --classes 10 --out wide.safetensors");
    assert_eq!(size("named.safetensors"), size("wide.safetensors"));
    let tiny = TINY.replace("--width 0.05", "--model mlp");
    succeeds(dir.path(), &format!("train {tiny} --out run"));
    let config = std::fs::read_to_string(dir.path().join("run/config.toml")).expect("settings");
    assert!(config.contains("width = 1.0"), "{config}");
    succeeds(dir.path(), &format!("train {} --out narrow", TINY.replace("--width 0.05", "")));
    let config = std::fs::read_to_string(dir.path().join("narrow/config.toml")).expect("settings");
    assert!(config.contains("width = 0.25"), "{config}");
}

#[test]
fn a_bench_measures_each_method_in_its_own_process() {
    let dir = dir();
    let small = "--model mlp --width 0.05 --image 1x8x8 --batch 16 --steps 2";
    let methods = "loading,forward,backprop,backprop-checkpointed,local-weight-network-forward";
    let text = succeeds(dir.path(), &format!("bench {small} --methods {methods} --json"));
    let report: serde_json::Value = serde_json::from_str(&text).expect("json");
    let measured = report["methods"].as_array().expect("methods");
    let names: Vec<_> = measured.iter().map(|method| method["method"].as_str().expect("a name")).collect();
    assert_eq!(names.join(","), methods);
    let operations = |method: usize| measured[method]["operations"].as_u64().expect("a count");
    // A product costs as much again for each of its two cotangents, the first layer's input cotangent aside.
    assert_eq!(operations(0), 0, "loading multiplies nothing that counts");
    assert!(operations(2) > 2 * operations(1) && operations(2) < 3 * operations(1));
    // The trunk once more, but for the last block (26 features to 26); the classifier (26 to 10 classes) not: 16 images.
    assert_eq!(operations(3), operations(2) + operations(1) - 2 * 16 * 26 * (26 + 10));
    for method in measured {
        assert!(
            method["median_seconds"].as_f64() > Some(0.0) && method["seconds"].as_array().expect("steps").len() == 2
        );
        assert!(method["peak_memory"].as_u64() > Some(1 << 20), "{method}");
    }
    assert!(fails(dir.path(), "bench --methods forwards", 2).contains("did you mean `forward`"));
    assert!(fails(dir.path(), "bench --methods forward --image 3x32", 2).contains("CHANNELSxHEIGHTxWIDTH"));
    assert!(fails(dir.path(), "bench --methods forward --model resnet", 2).contains("did you mean"));
}

/// A server on this machine that answers every request with the same bytes, until the test ends; its address.
fn mirror(content: &'static [u8]) -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
            let _ = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
            let _ = stream.write_all(&[head.as_bytes(), content].concat());
        }
    });
    address
}

#[test]
fn a_mirror_that_sends_something_else_leaves_nothing_behind() {
    let dir = dir();
    let address = mirror(b"<html>Please sign in to the hotel's network.</html>");
    let text = fails(dir.path(), &format!("data download mnist --data-dir data --mirror {address}"), 2);
    assert!(text.contains("expected MD5 f68b3c2dcbeaaa9fbdd348bbdeb94873, found MD5"), "{text}");
    assert!(text.contains("train-images-idx3-ubyte.gz"), "{text}");
    let left = std::fs::read_dir(dir.path().join("data/mnist")).expect("the folder").count();
    assert_eq!(left, 0, "neither the file nor a part of it");
    let text = fails(dir.path(), "data download mnist --data-dir data --mirror 127.0.0.1", 2);
    assert!(text.contains("an address that begins with https:// or http://"), "{text}");
}
