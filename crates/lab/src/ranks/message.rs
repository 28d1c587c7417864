//! A rank's part of a step as bytes.

use burn::tensor::{Tensor, TensorData};

use super::team::bytes;
use super::{Asked, Team};
use crate::{Error, Result};
use foregrad::estimate::Sum;
use foregrad::ops;
use foregrad::vector::{ParamTensor, ParamVector};

/// What a rank says after its parts of a step: what was asked of it meanwhile, and the sum over its parts unless it was to stop.
///
/// ```text
/// 8 bytes    what is asked: 1 to stop, 2 for a checkpoint, or both
/// 8 bytes    each block's loss, where its head ran; the network's last
/// 8 bytes    each scalar along directions that all parts share
/// ...        the exact part of the update, that of heads, and batch statistics
/// ...        where directions are the parts' own: the rest of the update, state, scalars
/// ```
/// Every rank knows the names and shapes from its own sum: only the state's numbers come with theirs. Metrics are added up at an epoch's end.
#[derive(Debug, Default)]
pub struct Turn {
    /// What was asked for meanwhile.
    pub asked: Asked,
    /// The sum over the parts; none of a rank that stopped on the way.
    pub sum: Option<Sum>,
}

const STOPS: u8 = 1;
const SAVES: u8 = 2;

impl Turn {
    /// Everybody's turn.
    ///
    /// # Errors
    /// A rank that has ended, or that sent what does not fit.
    pub fn shared(self, team: &Team) -> Result<Self> {
        team.total(self, Self::written, Self::read, Self::plus)
    }

    /// With that of later ranks; a step that one of them did not finish is nobody's.
    fn plus(self, later: Self) -> Self {
        let sum = self.sum.zip(later.sum).map(|(own, later)| own.plus(later));
        Self { asked: self.asked.or(later.asked), sum }
    }

    fn written(&self) -> Vec<u8> {
        let asked = u8::from(self.asked.stops) * STOPS + u8::from(self.asked.saves) * SAVES;
        let mut message = bytes(&[f64::from(asked)]);
        let Some(sum) = &self.sum else { return message };
        let output = &sum.output;
        message.extend(bytes(&output.evaluations.iter().flatten().map(|own| own.loss).collect::<Vec<_>>()));
        for scalars in output.awaiting.iter().flat_map(|scalars| &scalars.values) {
            message.extend(bytes(scalars));
        }
        [&output.update, &output.statistics].into_iter().for_each(|own| write(own, &mut message));
        if sum.is_shared {
            return message;
        }
        write(&output.state.tensors, &mut message);
        message.extend(bytes(&[output.zero_guesses as f64]));
        for scalars in output.scalars.iter().flat_map(|scalars| &scalars.values) {
            message.extend(bytes(&[scalars.len() as f64]));
            message.extend(bytes(scalars));
        }
        for (path, number) in &output.state.numbers {
            message.extend(bytes(&[path.len() as f64]));
            message.extend(path.as_bytes());
            message.extend(bytes(&[*number, sum.shares[path] as f64]));
        }
        message
    }

    /// Another rank's turn, by the names and shapes of this one's.
    fn read(message: &[u8], own: &Self) -> Result<Self> {
        let mut rest = Rest(message);
        let asked = rest.number()? as u8;
        let asked = Asked { stops: asked & STOPS > 0, saves: asked & SAVES > 0 };
        let mut turn = Self { asked, sum: None };
        let (false, Some(own)) = (rest.0.is_empty(), &own.sum) else { return Ok(turn) };
        let mut sum = own.clone();
        for evaluation in sum.output.evaluations.iter_mut().flatten() {
            (evaluation.loss, evaluation.metric) = (rest.number()?, None);
        }
        for scalar in sum.output.awaiting.iter_mut().flat_map(|scalars| &mut scalars.values).flatten() {
            *scalar = rest.number()?;
        }
        for vector in [&mut sum.output.update, &mut sum.output.statistics] {
            *vector = rest.vector(vector)?;
        }
        if !sum.is_shared {
            read_own(&mut rest, &mut sum)?;
        }
        if !rest.0.is_empty() {
            return Err(misfit(format!("{} bytes too many", rest.0.len())));
        }
        turn.sum = Some(sum);
        Ok(turn)
    }
}

/// What is the parts' own where their directions are.
fn read_own(rest: &mut Rest<'_>, sum: &mut Sum) -> Result<()> {
    let output = &mut sum.output;
    output.state.tensors = rest.vector(&output.state.tensors)?;
    output.zero_guesses = rest.number()? as usize;
    for scalars in output.scalars.iter_mut().flat_map(|scalars| &mut scalars.values) {
        let length = rest.number()? as usize;
        *scalars = (0..length).map(|_| rest.number()).collect::<Result<_>>()?;
    }
    (output.state.numbers, sum.shares) = Default::default();
    while !rest.0.is_empty() {
        let length = rest.number()? as usize;
        let path = String::from_utf8_lossy(rest.take(length)?).into_owned();
        output.state.numbers.insert(path.clone(), rest.number()?);
        sum.shares.insert(path, rest.number()? as usize);
    }
    Ok(())
}

/// What is left of a message.
struct Rest<'m>(&'m [u8]);

impl<'m> Rest<'m> {
    fn take(&mut self, length: usize) -> Result<&'m [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| misfit(format!("{length} bytes missing")))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<f64> {
        Ok(f64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }

    /// A vector of the paths, shapes and types of another.
    fn vector(&mut self, like: &ParamVector) -> Result<ParamVector> {
        let mut vector = ParamVector::default();
        for (path, entry) in like.iter() {
            let (placement, length) = (entry.placement(), entry.shape().iter().product::<usize>());
            let bytes = self.take(length * placement.dtype.size())?.to_vec();
            let data = TensorData::from_bytes_vec(bytes, [length], placement.dtype);
            let values = Tensor::from_data(data, (&placement.device, placement.dtype));
            vector.insert_entry(path, ParamTensor::shaped(values, entry.shape()));
        }
        Ok(vector)
    }
}

fn write(vector: &ParamVector, message: &mut Vec<u8>) {
    for (_, entry) in vector.iter() {
        message.extend(ops::data(entry.values()).as_bytes());
    }
}

fn misfit(what: String) -> Error {
    Error::Worker(format!("a rank's part of a step is not of this run's form: {what}"))
}
