//! The devices that this machine has, for those who asked for another.

#[cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu", feature = "vulkan", feature = "metal"))]
use burn::tensor::{Device, DeviceType};

#[cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu", feature = "vulkan", feature = "metal"))]
use super::quietly;

/// What is expected instead of a device that is not there.
pub(super) fn expected() -> String {
    let gpus = gpus();
    let advice = if gpus.is_empty() { format!("; no GPU was found: {NEEDS}") } else { String::new() };
    let names: Vec<String> = std::iter::once("`cpu`".to_string()).chain(gpus).collect();
    format!("one that is there: {}{advice}", names.join(", "))
}

/// What a GPU is found by.
const NEEDS: &str = "CUDA and ROCm need their driver, Vulkan its loader (libvulkan.so.1) and a driver, whose file VK_DRIVER_FILES \
                     may name";

/// The GPUs that this build can reach, each as `--device` names it and as it calls itself.
fn gpus() -> Vec<String> {
    #[allow(unused_mut, reason = "a build without GPUs has none")]
    let mut found = Vec::new();
    #[cfg(feature = "cuda")]
    found.extend(numbered("cuda", DeviceType::Cuda));
    #[cfg(feature = "rocm")]
    found.extend(numbered("rocm", DeviceType::Rocm));
    #[cfg(feature = "wgpu")]
    found.extend(graphics("wgpu", DeviceType::Wgpu, Device::wgpu));
    #[cfg(feature = "vulkan")]
    found.extend(graphics("vulkan", DeviceType::Vulkan, Device::vulkan));
    #[cfg(feature = "metal")]
    found.extend(graphics("metal", DeviceType::Metal, Device::metal));
    found
}

/// The devices of a kind, by number.
#[cfg(any(feature = "cuda", feature = "rocm"))]
fn numbered(kind: &str, of: DeviceType) -> Vec<String> {
    let all = quietly(|| Device::enumerate(of).into_vec()).unwrap_or_default();
    all.iter().enumerate().map(|(number, device)| told(&format!("{kind}:{number}"), device)).collect()
}

/// The devices of a graphics interface: the best one, which needs no number, and the discrete GPUs, which have one.
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
fn graphics(kind: &str, of: DeviceType, make: fn(burn::tensor::DeviceKind) -> Device) -> Vec<String> {
    use burn::tensor::DeviceKind;
    let all = quietly(|| Device::enumerate(of).into_vec()).unwrap_or_default();
    let best = all.first().map(|_| told(kind, &make(DeviceKind::DefaultDevice)));
    let numbered = (0..all.len()).map(|number| (number, make(DeviceKind::DiscreteGpu(number))));
    let discrete = numbered.filter(|(_, device)| all.contains(device));
    best.into_iter().chain(discrete.map(|(number, device)| told(&format!("{kind}:{number}"), &device))).collect()
}

/// A device's name here, and its own.
#[cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu", feature = "vulkan", feature = "metal"))]
fn told(name: &str, device: &Device) -> String {
    match quietly(|| device.identity()) {
        Ok(Some(own)) => format!("`{name}` ({})", own.name),
        Ok(None) => format!("`{name}`"),
        Err(reason) => format!("`{name}` (which does not answer: {reason})"),
    }
}
