//! Devices by name.

use anyhow::{Result, bail};
use burn::tensor::{DType, Device};
use foregrad::rng::Placement;

/// Where a run's tensors live: `cpu`, or a GPU whose cargo feature was compiled in.
pub fn placement(name: &str, dtype: DType) -> Result<Placement> {
    Ok(Placement { device: device(name)?, dtype })
}

fn device(name: &str) -> Result<Device> {
    let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
    let Ok(index) = index.parse::<usize>() else {
        bail!("the device `{name}` has no number after its colon; expected for instance `{kind}:0`");
    };
    let _ = index;
    match kind {
        "cpu" => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(index)),
        #[cfg(feature = "rocm")]
        "rocm" => Ok(Device::rocm(index)),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(burn::tensor::DeviceKind::DiscreteGpu(index))),
        #[cfg(feature = "vulkan")]
        "vulkan" => Ok(Device::vulkan(burn::tensor::DeviceKind::DiscreteGpu(index))),
        #[cfg(feature = "metal")]
        "metal" => Ok(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
        "cuda" | "rocm" | "wgpu" | "vulkan" | "metal" => bail!(
            "this binary was built without `{kind}`; build it with `cargo build --release --features {kind}`, or use \
             `--device cpu`"
        ),
        other => Err(foregrad::Error::unknown_name(
            "device",
            other,
            &["cpu", "cuda", "cuda:N", "wgpu", "vulkan", "metal", "rocm"],
        )
        .into()),
    }
}

/// Limits the worker threads; 0 is one a core.
pub fn set_threads(threads: usize) {
    if threads > 0 {
        // It fails only if the pool is already running, which then keeps its size.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
}
