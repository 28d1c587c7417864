//! Devices by name.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use anyhow::{Result, bail};
use burn::tensor::{DType, Device, Tensor};
use foregrad::rng::Placement;

mod failing;
mod there;

/// Where a run's tensors live: `cpu`, or a GPU whose cargo feature was compiled in.
pub fn placement(name: &str, dtype: DType) -> Result<Placement> {
    let device = device(name)?;
    if name != "cpu" {
        answers(name, &device)?;
        failing::watch(name);
    }
    Ok(Placement { device, dtype })
}

/// Refuses a device that is not there: its first use would end the program.
fn answers(name: &str, device: &Device) -> Result<()> {
    let first_use = || foregrad::ops::host(Tensor::<1>::zeros([1], device));
    let Err(reason) = quietly(first_use) else { return Ok(()) };
    let value = format!("`{name}`, which does not answer ({reason})");
    Err(foregrad::Error::out_of_range("device", value, there::expected()).into())
}

/// What `work` gives, or the reason of its panic, which is shown nowhere else: Burn panics where a device or its driver fails.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // The reason is that of the first panic, on a thread of the device's own: who waits for that thread knows none.
    let first = Arc::new(OnceLock::new());
    let noted = first.clone();
    let said = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| _ = noted.set(first_line(panic.payload()))));
    let done = std::panic::catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(said);
    done.map_err(|panic| first.get().cloned().unwrap_or_else(|| first_line(panic.as_ref())))
}

/// The first line of what a panic says.
fn first_line(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gives no reason");
    text.lines().next().unwrap_or_default().chars().take(MOST_OF_A_REASON).collect()
}

/// Characters of a driver's reason that are shown: some list all that they know.
const MOST_OF_A_REASON: usize = 200;

/// Devices that need a cargo feature of the same name.
const GPUS: [&str; 5] = ["cuda", "rocm", "wgpu", "vulkan", "metal"];

fn device(name: &str) -> Result<Device> {
    let (kind, number) = match name.split_once(':') {
        Some((kind, number)) => (kind, Some(number)),
        None => (name, None),
    };
    let Ok(number) = number.map(str::parse::<usize>).transpose() else {
        bail!("the device `{name}` has no number after its colon; expected for instance `{kind}:0`");
    };
    match (kind, number) {
        ("cpu", None) => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        ("cuda", number) => Ok(Device::cuda(number.unwrap_or(0))),
        #[cfg(feature = "rocm")]
        ("rocm", number) => Ok(Device::rocm(number.unwrap_or(0))),
        #[cfg(feature = "wgpu")]
        ("wgpu", number) => Ok(Device::wgpu(graphics(number))),
        #[cfg(feature = "vulkan")]
        ("vulkan", number) => Ok(Device::vulkan(graphics(number))),
        #[cfg(feature = "metal")]
        ("metal", number) => Ok(Device::metal(graphics(number))),
        (gpu, _) if GPUS.contains(&gpu) => bail!(
            "this binary was built without `{gpu}`; build it with `cargo build --release --features {gpu}`, or use \
             `--device cpu`"
        ),
        _ => {
            let names = ["cpu", "cuda", "cuda:N", "wgpu", "vulkan", "metal", "rocm"];
            Err(foregrad::Error::unknown_name("device", name, &names).into())
        }
    }
}

/// The discrete GPU of a number, or the best there is.
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
fn graphics(number: Option<usize>) -> burn::tensor::DeviceKind {
    number.map_or(burn::tensor::DeviceKind::DefaultDevice, burn::tensor::DeviceKind::DiscreteGpu)
}

/// The most worker threads that are started.
const MOST_THREADS: usize = 1024;

/// Limits the worker threads; 0 is one a core.
pub fn set_threads(threads: usize) -> Result<()> {
    if threads > MOST_THREADS {
        let expected = format!("at most {MOST_THREADS}, or 0 for one a core");
        return Err(foregrad::Error::out_of_range("--threads", threads, expected).into());
    }
    if threads > 0 {
        // It fails only if the pool is already running, which then keeps its size.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
    Ok(())
}
