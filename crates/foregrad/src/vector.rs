//! Vectors in parameter space: a guess, a gradient, a momentum, an update.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::rng::Placement;

mod numbers;

pub use numbers::{are_finite, dots, norms};

/// One tensor of a [`ParamVector`]: its values in a row, or the two factors they are products of, and its shape.
#[derive(Debug, Clone)]
pub struct ParamTensor {
    values: Values,
    shape: Vec<usize>,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a few dozen of them, each beside the memory of a tensor")]
enum Values {
    Row(Tensor<1>),
    /// `a b^T`, row by row; formed where its elements are asked for.
    Outer([Tensor<1>; 2]),
}

impl ParamTensor {
    /// Takes a tensor of any rank.
    pub fn new<const D: usize>(tensor: Tensor<D>) -> Self {
        let shape = tensor.dims().to_vec();
        Self { values: Values::Row(tensor.flatten(0, D - 1)), shape }
    }

    /// Takes elements in a row, and the shape they have.
    ///
    /// # Panics
    /// If the shape holds another number of elements.
    pub fn shaped(values: Tensor<1>, shape: &[usize]) -> Self {
        assert_eq!(values.dims()[0], shape.iter().product::<usize>(), "elements for shape {shape:?}");
        Self { values: Values::Row(values), shape: shape.to_vec() }
    }

    /// The tensor of rank one `a b^T`: `a` along the first axis, `b` along all others.
    ///
    /// # Panics
    /// If the shape has other lengths.
    pub fn outer(a: Tensor<1>, b: Tensor<1>, shape: &[usize]) -> Self {
        let lengths = [a.dims()[0], b.dims()[0]];
        assert_eq!(lengths, [shape[0], shape[1..].iter().product()], "factors for shape {shape:?}");
        Self { values: Values::Outer([a, b]), shape: shape.to_vec() }
    }

    /// The factors `a` and `b` of a tensor that was made of them.
    pub fn factors(&self) -> Option<[Tensor<1>; 2]> {
        match &self.values {
            Values::Row(_) => None,
            Values::Outer(factors) => Some(factors.clone()),
        }
    }

    /// The elements in a row.
    pub fn values(&self) -> Tensor<1> {
        match &self.values {
            Values::Row(values) => values.clone(),
            Values::Outer([a, b]) => (a.clone().reshape([-1, 1]) * b.clone().reshape([1, -1])).flatten(0, 1),
        }
    }

    /// Where its elements are.
    pub fn placement(&self) -> Placement {
        match &self.values {
            Values::Row(values) => Placement::of(values),
            Values::Outer([a, _]) => Placement::of(a),
        }
    }

    /// The tensor's shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The tensor in its own shape.
    ///
    /// # Panics
    /// If its rank is not `D`.
    pub fn tensor<const D: usize>(&self) -> Tensor<D> {
        let shape: [usize; D] = self.shape.as_slice().try_into().unwrap_or_else(|_| {
            panic!("a tensor of shape {:?} was asked for with rank {D}", self.shape);
        });
        self.values().reshape(shape)
    }

    /// The same shape with other values.
    ///
    /// # Panics
    /// If the number of values differs.
    pub fn with_values(&self, values: Tensor<1>) -> Self {
        Self::shaped(values, &self.shape)
    }

    /// `factor * self`; the same tensor, shared, for a factor of 1.
    pub fn scaled(&self, factor: f64) -> Self {
        if factor == 1.0 {
            return self.clone();
        }
        let values = match &self.values {
            Values::Row(values) => Values::Row(values.clone().mul_scalar(factor)),
            Values::Outer([a, b]) => Values::Outer([a.clone().mul_scalar(factor), b.clone()]),
        };
        Self { values, shape: self.shape.clone() }
    }
}

/// A vector in parameter space, keyed by the parameter's path (`blocks.3.conv2.weight`).
///
/// ```
/// use foregrad::{rng::Placement, vector::ParamVector};
/// use burn::tensor::{DType, Device};
/// let placement = Placement { device: Device::flex(), dtype: DType::F64 };
/// let mut gradient = ParamVector::default();
/// gradient.insert("fc.bias", placement.tensor(vec![3.0, 4.0], [2]));
/// assert_eq!(gradient.norm(), 5.0);
/// assert_eq!(gradient.scaled(2.0).dot(&gradient), 50.0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct ParamVector {
    entries: BTreeMap<String, ParamTensor>,
}

impl ParamVector {
    /// Adds or replaces a tensor.
    pub fn insert<const D: usize>(&mut self, path: impl Into<String>, tensor: Tensor<D>) {
        self.entries.insert(path.into(), ParamTensor::new(tensor));
    }

    /// Adds or replaces a tensor of any rank.
    pub fn insert_entry(&mut self, path: impl Into<String>, entry: ParamTensor) {
        self.entries.insert(path.into(), entry);
    }

    /// The tensor at a path, in its own shape, if there is one.
    ///
    /// # Panics
    /// If its rank is not `D`.
    pub fn get<const D: usize>(&self, path: &str) -> Option<Tensor<D>> {
        self.entries.get(path).map(ParamTensor::tensor)
    }

    /// The entry at a path, if there is one.
    pub fn entry(&self, path: &str) -> Option<&ParamTensor> {
        self.entries.get(path)
    }

    /// All entries in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ParamTensor)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// All tensors that elements lie in: of a product of factors, the factors.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor<1>> {
        self.entries.values().flat_map(|entry| match &entry.values {
            Values::Row(values) => std::slice::from_ref(values),
            Values::Outer(factors) => factors,
        })
    }

    /// All paths, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether it holds no tensor.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where its tensors are; none of an empty one.
    pub fn placement(&self) -> Option<Placement> {
        self.entries.values().next().map(ParamTensor::placement)
    }

    /// The number of elements of all tensors.
    pub fn dimension(&self) -> usize {
        self.entries.values().map(|entry| entry.shape.iter().product::<usize>()).sum()
    }

    /// The part below a name, its paths without `name.`; all of it for an empty name.
    pub fn scoped(&self, name: &str) -> Self {
        if name.is_empty() {
            return self.clone();
        }
        let below = |path: &str| path.strip_prefix(name)?.strip_prefix('.').map(str::to_string);
        let entries = self.entries.iter().filter_map(|(path, entry)| Some((below(path)?, entry.clone())));
        Self { entries: entries.collect() }
    }

    /// The same vector with `name.` before every path; unchanged for an empty name.
    pub fn prefixed(self, name: &str) -> Self {
        if name.is_empty() {
            return self;
        }
        Self { entries: self.entries.into_iter().map(|(path, entry)| (format!("{name}.{path}"), entry)).collect() }
    }

    /// The part whose paths satisfy a condition.
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        let entries = self.entries.iter().filter(|(path, _)| keep(path));
        Self { entries: entries.map(|(path, entry)| (path.clone(), entry.clone())).collect() }
    }

    /// Adds every entry of another vector, replacing those of the same path.
    pub fn extend(&mut self, other: ParamVector) {
        self.entries.extend(other.entries);
    }

    /// `f` applied to every tensor's values, with its path.
    ///
    /// # Panics
    /// If `f` returns another number of values.
    pub fn map(&self, mut f: impl FnMut(&str, Tensor<1>) -> Tensor<1>) -> Self {
        let mapped = self.entries.iter().map(|(path, entry)| {
            let values = f(path, entry.values());
            (path.clone(), entry.with_values(values))
        });
        Self { entries: mapped.collect() }
    }

    /// `factor * self`.
    pub fn scaled(&self, factor: f64) -> Self {
        let entries = self.entries.iter().map(|(path, entry)| (path.clone(), entry.scaled(factor)));
        Self { entries: entries.collect() }
    }

    /// `self + factor * other`; a path that only one of them holds counts as zero in the other.
    ///
    /// # Panics
    /// If two tensors of one path differ in shape.
    pub fn axpy(mut self, factor: f64, other: &ParamVector) -> Self {
        for (path, entry) in &other.entries {
            let added = entry.values().mul_scalar(factor);
            let sum = match self.entries.remove(path) {
                Some(mine) => mine.with_values(mine.values() + added),
                None => entry.with_values(added),
            };
            self.entries.insert(path.clone(), sum);
        }
        self
    }

    /// A vector of zeros of the same shape.
    pub fn zeros_like(&self) -> Self {
        self.map(|_, values| values.zeros_like())
    }

    /// A vector of the same paths and shapes whose tensor at `path` holds the numbers `fill(path, shape)`.
    ///
    /// # Panics
    /// If `fill` returns another number of values than the shape holds.
    pub fn filled_like(&self, fill: impl Fn(&str, &[usize]) -> Vec<f64>) -> Self {
        self.drawn_like(|path, shape, placement| {
            let values = fill(path, shape);
            let length = values.len();
            ParamTensor::shaped(placement.tensor(values, [length]), shape)
        })
    }

    /// A vector of the same paths and shapes whose tensor at `path` is `draw(path, shape, placement)`.
    pub fn drawn_like(&self, draw: impl Fn(&str, &[usize], &Placement) -> ParamTensor) -> Self {
        let entries = self.entries.iter().map(|(path, entry)| {
            let drawn = draw(path, &entry.shape, &entry.placement());
            (path.clone(), drawn)
        });
        Self { entries: entries.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    fn vector(pairs: &[(&str, &[f64])]) -> ParamVector {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let mut vector = ParamVector::default();
        for (path, values) in pairs {
            vector.insert(*path, placement.tensor(values.to_vec(), [values.len()]));
        }
        vector
    }

    #[test]
    fn scoping_and_prefixing_undo_each_other_and_respect_name_borders() {
        let all = vector(&[("a.weight", &[1.0]), ("a.b.weight", &[2.0]), ("ab.weight", &[3.0])]);
        let scoped = all.scoped("a");
        assert_eq!(scoped.paths().collect::<Vec<_>>(), ["b.weight", "weight"]);
        assert_eq!(scoped.prefixed("a").paths().collect::<Vec<_>>(), ["a.b.weight", "a.weight"]);
    }

    #[test]
    fn axpy_counts_missing_tensors_as_zero() {
        let sum = vector(&[("a", &[1.0, 2.0])]).axpy(3.0, &vector(&[("a", &[1.0, 0.0]), ("b", &[5.0])]));
        assert_eq!(sum.norm(), (16.0f64 + 4.0 + 225.0).sqrt());
    }

    #[test]
    fn a_product_of_factors_is_the_vector_of_its_elements() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let row = |values: &[f64]| placement.tensor(values.to_vec(), [values.len()]);
        let lazy = |a: &[f64]| ParamTensor::outer(row(a), row(&[1.0, 2.0, -3.0, 0.5]), &[2, 2, 2]);
        let (lazy, other) = (lazy(&[2.0, -1.0]), lazy(&[0.5, 3.0]));
        let formed = lazy.with_values(row(&[2.0, 4.0, -6.0, 1.0, -1.0, -2.0, 3.0, -0.5]));
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-14, "{a} {b}");
        close(lazy.dot(&other), formed.dot(&other));
        close(lazy.dot(&other), lazy.with_values(lazy.values()).dot(&other.with_values(other.values())));
        close(lazy.scaled(3.0).dot(&formed), 3.0 * formed.dot(&formed));
        assert_eq!(lazy.tensor::<3>().dims(), [2, 2, 2]);
    }

    #[test]
    fn norms_of_tiny_vectors_do_not_underflow() {
        let tiny = vector(&[("a", &[3e-200, 4e-200])]);
        assert!((tiny.norm() / 5e-200 - 1.0).abs() < 1e-14);
        assert_eq!(vector(&[("a", &[0.0])]).norm(), 0.0);
        assert!(!vector(&[("a", &[f64::NAN])]).norm().is_finite());
    }
}
