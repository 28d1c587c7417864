//! The sizes of a convolution, and the patterns of taps by which its maps read.

/// A two-dimensional convolution: `x` `[samples, in, h, w]`, `weight` `[out, in / groups, kh, kw]`, `y` `[samples, out, h', w']`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Samples of the batch.
    pub samples: usize,
    /// Channels of the input and of the output.
    pub channels: [usize; 2],
    /// Height and width of the input.
    pub size: [usize; 2],
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Step of the window, in both directions.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Channel groups that do not see each other.
    pub groups: usize,
}

impl Convolution {
    /// Height and width of the output, `(size + 2 padding - kernel) / stride + 1`.
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.size[axis] + 2 * self.padding - self.kernel[axis]) / self.stride + 1)
    }

    /// Checks that the sizes belong to a convolution.
    ///
    /// # Panics
    /// If the window is empty or larger than the padded input, the stride is 0, or the groups do not divide the channels.
    pub(crate) fn assert_has_meaning(&self) {
        let Self { size, kernel, stride, padding, groups, .. } = *self;
        let fits = |axis: usize| kernel[axis] > 0 && kernel[axis] <= size[axis] + 2 * padding;
        assert!(fits(0) && fits(1), "the window does not fit the padded input of {self:?}");
        assert!(stride > 0, "the window of {self:?} does not move");
        let divides = |channels: usize| groups > 0 && channels.is_multiple_of(groups);
        assert!(self.channels.into_iter().all(divides), "the groups do not divide the channels of {self:?}");
    }

    /// Whether there is nothing to multiply: every map is zero.
    pub(crate) fn is_empty(&self) -> bool {
        self.input_length() == 0 || self.output_length() == 0
    }

    /// Operations of one map.
    pub fn operations(&self) -> u64 {
        let [height, width] = self.output();
        let products = self.samples * height * width * self.channels[1] * self.group()[0] * self.taps();
        2 * products as u64
    }

    /// Elements of the input.
    pub fn input_length(&self) -> usize {
        self.samples * self.channels[0] * self.size[0] * self.size[1]
    }

    /// Elements of the output.
    pub fn output_length(&self) -> usize {
        let [height, width] = self.output();
        self.samples * self.channels[1] * height * width
    }

    /// Input and output channels of one group.
    pub fn group(&self) -> [usize; 2] {
        self.channels.map(|channels| channels / self.groups)
    }

    /// Window positions.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Where a weight lies by group, output channel and input channel.
    pub(crate) fn strides(&self) -> [usize; 3] {
        let ([input, output], taps) = (self.group(), self.taps());
        [output * input * taps, input * taps, taps]
    }

    /// The same for the input's cotangent, whose inputs are the outputs.
    pub(crate) fn transposed_strides(&self) -> [usize; 3] {
        let [of_group, of_output, of_input] = self.strides();
        [of_group, of_input, of_output]
    }

    /// How the forward map reads: output pixel `i` reads input `i stride + k - padding` for every `k` of the window.
    pub(crate) fn forward_grid(&self) -> Grid {
        let mut taps = Vec::new();
        for row in 0..self.kernel[0] {
            for column in 0..self.kernel[1] {
                taps.push(Tap {
                    offset: [offset(row, self.padding), offset(column, self.padding)],
                    index: row * self.kernel[1] + column,
                });
            }
        }
        Grid {
            source: self.size,
            size: self.output(),
            step: self.stride,
            taps,
            target: self.output(),
            first: [0, 0],
            spacing: 1,
        }
    }

    /// How the input's cotangent reads, one grid for every phase of the stride.
    ///
    /// Input pixel `u` gets `y_bar[(u + padding - k) / stride]` from every `k` for which that divides; pixels of one phase
    /// (`u mod stride`) share the same `k`, so nothing is multiplied by a zero between strided pixels.
    pub(crate) fn transposed_grids(&self) -> Vec<Grid> {
        let stride = self.stride;
        let mut grids = Vec::new();
        for phase in (0..stride * stride).map(|phase| [phase / stride, phase % stride]) {
            let size = [0, 1].map(|axis| self.size[axis].saturating_sub(phase[axis]).div_ceil(stride));
            let reached = |axis: usize| {
                (0..self.kernel[axis]).filter(move |k| {
                    (phase[axis] + self.padding + stride * self.kernel[axis] - k).is_multiple_of(stride)
                })
            };
            let quotient = |axis: usize, k: usize| offset(phase[axis] + self.padding, k) / stride as isize;
            let mut taps = Vec::new();
            for row in reached(0) {
                for column in reached(1) {
                    taps.push(Tap {
                        offset: [quotient(0, row), quotient(1, column)],
                        index: row * self.kernel[1] + column,
                    });
                }
            }
            grids.push(Grid {
                source: self.output(),
                size,
                step: 1,
                taps,
                target: self.size,
                first: phase,
                spacing: stride,
            });
        }
        grids
    }
}

fn offset(plus: usize, minus: usize) -> isize {
    plus as isize - minus as isize
}

/// One position of the window: where it reads, and which weight it is.
#[derive(Debug, Clone, Copy)]
pub struct Tap {
    /// Rows and columns from the pixel `step i` of the source.
    pub offset: [isize; 2],
    /// `kernel row * kw + kernel column`.
    pub index: usize,
}

/// A pattern of reading: pixel `i` of a grid reads source pixels `step i + offset`, zero outside the source, and stands for
/// pixel `first + spacing i` of the target.
#[derive(Debug, Clone)]
pub struct Grid {
    /// Height and width of a source plane.
    pub source: [usize; 2],
    /// Height and width of the grid.
    pub size: [usize; 2],
    /// Source pixels between grid pixels.
    pub step: usize,
    /// What every pixel reads.
    pub taps: Vec<Tap>,
    /// Height and width of a target plane.
    pub target: [usize; 2],
    /// The target pixel of grid pixel `[0, 0]`.
    pub first: [usize; 2],
    /// Target pixels between grid pixels.
    pub spacing: usize,
}

impl Grid {
    /// Pixels of one sample.
    pub(crate) fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Whether grid and target are the same plane.
    pub(crate) fn is_dense(&self) -> bool {
        self.spacing == 1 && self.size == self.target
    }
}
