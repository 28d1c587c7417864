//! TensorBoard event files.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tfrecord::{EventMeta, EventWriter};

use super::{EpochRecord, ProbeRecord, Score};
use crate::{Error, Result};
use foregrad::files::{self, File};

const PREFIX: &str = "events.out.tfevents.";

/// An event file, open for writing.
pub struct Events {
    path: PathBuf,
    writer: EventWriter<BufWriter<File>>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Events({})", self.path.display())
    }
}

impl Events {
    /// Starts a new event file in a folder.
    pub fn create(folder: &Path) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let path = folder.join(format!("{PREFIX}{now}.foregrad"));
        let file = BufWriter::new(File::create(&path)?);
        let writer = EventWriter::from_writer(file, Default::default()).map_err(failed(&path))?;
        Ok(Self { path, writer })
    }

    /// The event files of a folder.
    pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
        let is_event = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
        };
        Ok(files::list_if_there(folder)?.unwrap_or_default().into_iter().filter(is_event).collect())
    }

    /// An epoch's scores, rate and speed, by step.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        self.scalar("rate", record.step, record.rate)?;
        self.scalar("images_per_second", record.step, record.images_per_second)?;
        let sets = [("train", &record.train), ("test", &record.test), ("validation", &record.validation)];
        for (set, scores) in sets {
            let last = scores.len().saturating_sub(1);
            for (block, score) in scores.iter().enumerate() {
                let place = if block == last { "network".to_string() } else { format!("heads.{block}") };
                self.score(&format!("{set}/{place}"), record.step, score)?;
            }
        }
        self.flush()
    }

    /// A probe's alignments and deviations, by step.
    pub fn probe(&mut self, record: &ProbeRecord) -> Result<()> {
        for block in &record.blocks {
            let values = [
                ("guess_alignment", block.guess_alignment),
                ("estimate_alignment", block.estimate_alignment),
                ("deviation", block.deviation),
            ];
            for (name, value) in values.into_iter().filter_map(|(name, value)| Some((name, value?))) {
                self.scalar(&format!("probe/blocks.{}/{name}", block.block), record.step, value)?;
            }
        }
        self.flush()
    }

    fn score(&mut self, tag: &str, step: u64, score: &Option<Score>) -> Result<()> {
        let Some(score) = score else { return Ok(()) };
        self.scalar(&format!("{tag}/loss"), step, score.loss)?;
        score.metrics.iter().try_for_each(|(name, value)| self.scalar(&format!("{tag}/{name}"), step, *value))
    }

    fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        let meta = EventMeta::new(step as i64, wall_time());
        self.writer.write_scalar(tag, meta, value as f32).map_err(failed(&self.path))
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(failed(&self.path))
    }
}

/// Seconds since 1970: TensorBoard's unit (the crate's own default is microseconds).
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn failed(path: &Path) -> impl FnOnce(tfrecord::Error) -> Error {
    let path = path.to_path_buf();
    move |error| Error::io("write", path)(std::io::Error::other(error))
}
