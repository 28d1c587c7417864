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

/// The path that [`VARIABLE`] asks for.
///
/// # Errors
/// Another word than the paths' names, or a path that this machine does not have, in words for the user.
pub fn requested() -> Result<Path, String> {
    match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("" | "native") => Ok(Path::Native),
        Ok("avx2") if has_avx2() => Ok(Path::Avx2),
        Ok("avx2") => Err(format!("{VARIABLE} is `avx2`; this machine does not have AVX2 with FMA")),
        Ok("portable") => Ok(Path::Portable),
        Ok("composed") => Ok(Path::Composed),
        Ok(other) => Err(format!("{VARIABLE} is `{other}`; expected `native`, `avx2`, `portable` or `composed`")),
    }
}

/// The path this process computes on, from [`VARIABLE`] at the first call.
///
/// # Panics
/// If [`requested`] fails; a program asks it first.
pub fn path() -> Path {
    static PATH: OnceLock<Path> = OnceLock::new();
    *PATH.get_or_init(|| requested().unwrap_or_else(|reason| panic!("{reason}")))
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
    let simd = pulp::x86::V3::try_new().expect("the path is chosen only where the machine has it");
    Simd::vectorize(simd, operation)
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    pulp::x86::V3::try_new().is_some()
}

#[cfg(not(target_arch = "x86_64"))]
fn on_avx2<Op: WithSimd>(_operation: Op) -> Op::Output {
    unreachable!("the path is chosen only on x86-64")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
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

/// Compiles an operation for an instruction set as a function of its own, which has all registers to itself.
#[inline(never)]
pub(crate) fn apart<S: Simd, Op: WithSimd>(simd: S, operation: Op) -> Op::Output {
    simd.vectorize(operation)
}
