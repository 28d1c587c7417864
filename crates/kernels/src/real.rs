//! The two floating-point types that the kernels are generic over.

/// A real number a kernel computes with: `f32` in training, `f64` in the derivative tests.
pub trait Real: Copy + Send + Sync + 'static {
    /// The value as `f64`, in which sums are accumulated.
    fn to_f64(self) -> f64;
}

impl Real for f32 {
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn to_f64(self) -> f64 {
        self
    }
}
