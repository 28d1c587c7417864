//! Which instruction set the kernels run on: the best one of the machine, unless the user asks for the portable path.

use std::sync::OnceLock;

use pulp::{Arch, Scalar, Simd, WithSimd};

/// The environment variable that holds one of [`Path`]'s names.
pub const VARIABLE: &str = "FOREGRAD_KERNELS";

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// These kernels, on the machine's widest vectors (AVX-512, AVX2 with FMA, NEON): `native`, the default.
    Native,
    /// These kernels on AVX2 with FMA, on an x86-64 machine that may have more: `avx2`.
    Avx2,
    /// These kernels without vector instructions: `portable`.
    Portable,
    /// None of these kernels: the framework's own operations: `composed`.
    Composed,
}

/// The path this process computes on, from [`VARIABLE`] at the first call.
///
/// # Panics
/// If the variable holds another word.
pub fn path() -> Path {
    static PATH: OnceLock<Path> = OnceLock::new();
    *PATH.get_or_init(|| match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("" | "native") => Path::Native,
        Ok("avx2") => Path::Avx2,
        Ok("portable") => Path::Portable,
        Ok("composed") => Path::Composed,
        Ok(other) => panic!("{VARIABLE} is `native`, `avx2`, `portable` or `composed`, not `{other}`"),
    })
}

/// The name of the instruction set in use.
pub fn name() -> &'static str {
    struct Name;
    impl WithSimd for Name {
        type Output = &'static str;
        fn with_simd<S: Simd>(self, _: S) -> &'static str {
            std::any::type_name::<S>().rsplit("::").next().unwrap_or("unknown")
        }
    }
    dispatch(Name)
}

/// Runs `operation` on the instruction set of [`path`].
pub(crate) fn dispatch<Op: WithSimd>(operation: Op) -> Op::Output {
    match path() {
        Path::Native => Arch::new().dispatch(operation),
        Path::Avx2 => on_avx2(operation),
        Path::Portable | Path::Composed => Scalar::new().vectorize(operation),
    }
}

#[cfg(target_arch = "x86_64")]
fn on_avx2<Op: WithSimd>(operation: Op) -> Op::Output {
    match pulp::x86::V3::try_new() {
        Some(simd) => Simd::vectorize(simd, operation),
        None => panic!("{VARIABLE} is `avx2`, which this machine does not have"),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn on_avx2<Op: WithSimd>(_operation: Op) -> Op::Output {
    panic!("{VARIABLE} is `avx2`, which only x86-64 machines have")
}

/// Compiles a closure's loops for the machine's instruction set, so that the compiler vectorises them with it.
pub(crate) fn vectorised<R>(operation: impl FnOnce() -> R) -> R {
    struct Operation<F>(F);
    impl<R, F: FnOnce() -> R> WithSimd for Operation<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> R {
            (self.0)()
        }
    }
    dispatch(Operation(operation))
}
