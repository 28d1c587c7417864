//! What a row says of the machine.

use std::path::Path;
use std::time::SystemTime;

use super::Machine;
use crate::train::RunConfig;
use foregrad::files;

/// The host's name; `unknown` where the system does not tell.
pub(super) fn host() -> String {
    let read = |file: &&str| files::read_text(Path::new(file)).ok();
    let told = ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(read);
    let told = told.or_else(|| std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).ok());
    told.map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".into())
}

/// The processor's name; `unknown` where the system does not tell.
fn processor() -> String {
    let text = files::read_text(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "unknown".into(), |(_, name)| name.trim().to_string())
}

impl Machine {
    /// This machine, for a run that ends now; `version` is the program's. What the run took is added by [`super::Row::done`].
    pub fn this(config: &RunConfig, version: &str) -> Self {
        Self {
            host: host(),
            processor: processor(),
            threads: rayon::current_num_threads(),
            device: config.device.clone(),
            instructions: foregrad_kernels::instructions::name().to_string(),
            version: version.to_string(),
            seconds: 0.0,
            images_per_second: 0.0,
            peak_memory: 0,
            ended: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        }
    }
}
