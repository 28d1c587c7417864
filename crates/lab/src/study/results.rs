//! A study's folder: its definition, and the folders of its runs.
//!
//! ```text
//! STUDY/study.toml        the definition
//! STUDY/runs/NAME/        a run's folder, with `row.json` once it has ended
//! ```

use std::path::{Path, PathBuf};

use super::planned_run::PlannedRun;
use super::{Row, Study};
use crate::train::{Difference, EpochRecord, ProbeRecord, RunConfig, RunFolder};
use crate::{Error, Result};
use foregrad::files;

const STUDY: &str = "study.toml";

/// What there is of one run.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// Its settings.
    pub planned: PlannedRun,
    /// Its row, once it has ended.
    pub row: Option<Row>,
    /// Its epochs so far.
    pub epochs: Vec<EpochRecord>,
    /// Its probes so far.
    pub probes: Vec<ProbeRecord>,
}

/// All there is in a study's folder.
#[derive(Debug, Clone)]
pub struct Results {
    /// The definition.
    pub study: Study,
    /// Every run, in the order of the definition.
    pub runs: Vec<RunResult>,
}

impl Results {
    /// Reads a study's folder.
    ///
    /// # Errors
    /// A folder that holds no study, damaged rows and records.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = folder.join(STUDY);
        let Some(text) = files::read_text_if_there(&file)? else {
            let found = format!("no {STUDY} in it; `foregrad study` makes one");
            return Err(Error::bad_file(folder, "the folder of a study", found));
        };
        let study = Study::from_toml(&text, &file)?;
        let result = |planned: PlannedRun| {
            let own = run_folder(folder, &planned.name);
            let row = Row::read(&own)?;
            let (epochs, probes) = (RunFolder::epochs(&own)?, RunFolder::probes(&own)?);
            Ok(RunResult { planned, row, epochs, probes })
        };
        let runs = study.runs()?.into_iter().map(result).collect::<Result<_>>()?;
        Ok(Self { study, runs })
    }
}

/// Makes the folder of a study, or brings it up to date: runs with the same settings stay, new ones are added, and those that are no
/// longer in the study are left alone.
///
/// # Errors
/// The folder of another study, one that cannot be read or written, a run whose settings have changed.
pub fn prepare(folder: &Path, study: &Study) -> Result<()> {
    let file = folder.join(STUDY);
    let known = files::read_text_if_there(&file)?;
    if let Some(text) = &known {
        let name = Study::from_toml(text, &file)?.name;
        if name != study.name {
            let expected = format!("the results of the study `{}`", study.name);
            return Err(Error::bad_file(file, expected, format!("those of `{name}`; use another --out")));
        }
    }
    for run in study.runs()? {
        check_settings(&run_folder(folder, &run.name), &run)?;
    }
    files::create_folder(&folder.join("runs"))?;
    if known.as_deref() == Some(study.text()) {
        Ok(())
    } else {
        files::write_atomically(&file, study.text().as_bytes())
    }
}

/// Refuses what a run's folder holds if it was made with other settings than the study has for it now.
fn check_settings(folder: &Path, planned: &PlannedRun) -> Result<()> {
    const ADVICE: &str = "delete the run's folder to run it again";
    let path = folder.join("config.toml");
    let expected = format!("the settings of run `{}`", planned.name);
    let Some(text) = files::read_text_if_there(&path)? else {
        let has_row = Row::read(folder)?.is_some();
        let found = format!("none, though the run has a row, which cannot be told from another's; {ADVICE}");
        return if has_row { Err(Error::bad_file(path, expected, found)) } else { Ok(()) };
    };
    let saved = RunConfig::from_toml(&text)
        .map_err(|error| Error::bad_file(&path, expected.as_str(), format!("{error}; {ADVICE}")))?;
    let differences = saved.differences(&planned.config);
    if differences.is_empty() {
        return Ok(());
    }
    let differences = differences
        .iter()
        .map(|Difference { setting, own, other }| format!("{setting} = {own}, where the study has {other}"));
    let found = format!(
        "{}; give the value another name, use another --out, or {ADVICE}",
        differences.collect::<Vec<_>>().join(", ")
    );
    Err(Error::bad_file(path, format!("{expected} as the study has them"), found))
}

/// The folder of a run.
pub fn run_folder(study: &Path, run: &str) -> PathBuf {
    study.join("runs").join(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregrad::files::fault::{Fault, Injection, Operation, inject_into};

    const TEXT: &str = "
name = 's'
question = '?'
seeds = [0]
[base]
epochs = 1
[[axis]]
name = 'rate'
key = 'optimizer.rate'
values = [0.1, 0.2]
";

    fn study(text: &str) -> Study {
        Study::from_toml(text, Path::new("s.toml")).expect("a study")
    }

    fn saved(folder: &Path) -> String {
        std::fs::read_to_string(folder.join(STUDY)).expect("a study")
    }

    /// A folder in which both runs have settings, as they are saved with a run.
    fn begun() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        prepare(dir.path(), &study(TEXT)).expect("a folder");
        for run in study(TEXT).runs().expect("runs") {
            let folder = run_folder(dir.path(), &run.name);
            std::fs::create_dir(&folder).expect("a folder");
            let mut config = run.config.clone();
            (config.threads, config.device, config.data.dir) = (7, "cuda:0".into(), Some("elsewhere".into()));
            std::fs::write(folder.join("config.toml"), config.to_toml()).expect("a file");
        }
        dir
    }

    fn write_row(folder: &Path, run: &PlannedRun) {
        let error = Error::NotFinite { what: "x".into(), step: 1, advice: "x".into() };
        let machine = crate::study::Machine::this(&run.config, "1");
        Row::failed(run, &error, machine).write(folder).expect("a row");
    }

    #[test]
    fn a_study_grows_as_long_as_its_runs_have_the_same_settings() {
        let dir = begun();
        let longer = [
            TEXT.replace('\n', "\r\n"),
            format!("# a comment\n{TEXT}"),
            TEXT.replace("seeds = [0]", "seeds = [0, 1]"),
            TEXT.replace("[0.1, 0.2]", "[0.05, 0.2, 0.1, 0.4]"),
            TEXT.replace("question = '?'", "expected = 'x'\nquestion = 'Which?'"),
            TEXT.replace("epochs = 1", "epochs = 1\nbatch = 128"),
            TEXT.replace("[0.1, 0.2]", "[0.4]"),
        ];
        for text in longer {
            prepare(dir.path(), &study(&text)).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(saved(dir.path()), text);
        }
        assert!(run_folder(dir.path(), "0.1-seed0").join("config.toml").exists(), "left alone, though planned no more");
    }

    #[test]
    fn a_changed_setting_is_named_and_nothing_is_written() {
        let dir = begun();
        let text = TEXT.replace("epochs = 1", "epochs = 2\nmodel = { norm = 'group' }");
        let error = prepare(dir.path(), &study(&text)).expect_err("changed").to_string();
        for part in
            ["`0.1-seed0`", "epochs = 1, where the study has 2", "model.norm", "--out", "delete the run's folder"]
        {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert_eq!(saved(dir.path()), TEXT);
        let other = prepare(dir.path(), &study(&TEXT.replace("'s'", "'t'"))).expect_err("another").to_string();
        assert!(other.contains("those of `s`; use another --out"), "{other}");
    }

    #[test]
    fn a_row_without_settings_and_damaged_settings_are_told() {
        let dir = begun();
        let run = study(TEXT).runs().expect("runs").remove(1);
        let folder = run_folder(dir.path(), &run.name);
        std::fs::write(folder.join("config.toml"), "epochs = ").expect("a file");
        let damaged = prepare(dir.path(), &study(TEXT)).expect_err("damaged").to_string();
        assert!(damaged.contains("0.2-seed0") && damaged.contains("delete the run's folder"), "{damaged}");
        std::fs::write(folder.join("config.toml"), "epochs = 1\n[optimizer]\nrate = 0.2").expect("a file");
        prepare(dir.path(), &study(TEXT)).expect("what an older file lacks has its default");
        std::fs::remove_file(folder.join("config.toml")).expect("a file");
        prepare(dir.path(), &study(TEXT)).expect("nothing of it is kept");
        write_row(&folder, &run);
        let missing = prepare(dir.path(), &study(TEXT)).expect_err("a row of nothing known").to_string();
        assert!(missing.contains("none, though the run has a row"), "{missing}");
    }

    #[test]
    fn what_cannot_be_read_is_never_taken_for_missing() {
        let dir = begun();
        for kind in [Operation::Open, Operation::Read] {
            let plan = Injection { under: dir.path().into(), at: 0, fault: Fault::Error(libc::EIO), lasting: false };
            let away = inject_into(kind, plan);
            let prepared = prepare(dir.path(), &study(&TEXT.replace("[0]", "[1]")));
            assert!(matches!(prepared, Err(Error::Io { .. })), "a study: {prepared:?}");
            drop(away);
            assert_eq!(saved(dir.path()), TEXT, "{kind:?}");
            let plan = Injection { under: dir.path().into(), at: 0, fault: Fault::Error(libc::EIO), lasting: false };
            let _away = inject_into(kind, plan);
            assert!(matches!(Results::read(dir.path()), Err(Error::Io { .. })));
        }
        let settings = run_folder(dir.path(), "0.1-seed0").join("config.toml");
        let plan = Injection { under: settings, at: 0, fault: Fault::Error(libc::EIO), lasting: false };
        let away = inject_into(Operation::Open, plan);
        let prepared = prepare(dir.path(), &study(&TEXT.replace("epochs = 1", "epochs = 2")));
        assert!(matches!(prepared, Err(Error::Io { .. })), "a run's settings: {prepared:?}");
        drop(away);
        assert_eq!(saved(dir.path()), TEXT);
        let empty = tempfile::tempdir().expect("a folder");
        assert!(Results::read(empty.path()).expect_err("none").to_string().contains("the folder of a study"));
    }
}
