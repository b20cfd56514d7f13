//! Codes: what graph searches and scans compare instead of f32.
//!
//! A [`Codec`] is a kind of code with what it was trained to. It makes a row of bytes of every vector, and of a query a
//! [`CodedQuery`], which knows how far its value may be from the true one. The rows of the linear kinds end in a [`Trailer`].
//!
//! | kind | row | error |
//! | --- | --- | --- |
//! | `rotational`, 8 bits | `[dim_padded]` i8, trailer | within Cauchy-Schwarz of both coding errors |
//! | `rotational`, 4 and 1 bits | `[dim_padded]` halves or bits, trailer | likely within the estimate of RaBitQ (arXiv 2405.12497) |
//! | `scalar` | `[dim_padded]` i8, trailer | as 8 bits |
//! | `signs` | `[dim_padded]` bits | not known |
//! | `product` | a byte a segment | not known |
//!
//! The last two orders are only good for choosing what is compared on the originals.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::bytes::{Bytes, Trailer};
use super::product::{self, Product};
use super::rotational::Rotational;
use super::scalar::Scalar;
use super::signs;
use crate::vector::distance::{CENTROIDS, CODE_TRAILER_BYTES, CodeQuery, LinearQuery};
use crate::vector::{Codes, Distance};

/// Which codes, without what they were trained to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::vector) enum CodeKind {
    /// A random rotation, then steps of each vector's own size.
    Rotational {
        /// 8, 4 or 1.
        bits: u8,
    },
    /// Steps of one size between the least and the greatest component of the training vectors.
    Scalar,
    /// Whether each component is above zero.
    Signs,
    /// For each segment of the components the number of the nearest centroid.
    Product {
        /// Segments, 1 to the dimension.
        segments: u32,
        /// Centroids of a segment, 2 to [`CENTROIDS`].
        centroids: u32,
    },
}

impl CodeKind {
    /// What the settings mean for vectors of this kind; `None` is plain f32, also where these codes could not tell near
    /// from far.
    pub(in crate::vector) fn wanted(codes: Codes, distance: Distance, dim: usize) -> Option<Self> {
        match codes {
            Codes::None => None,
            Codes::Default => distance.survives_rotation().then_some(Self::Rotational { bits: 8 }),
            Codes::Rotational { bits, .. } => distance.survives_rotation().then_some(Self::Rotational { bits }),
            Codes::Scalar { .. } => distance.survives_rotation().then_some(Self::Scalar),
            Codes::Binary { .. } => Some(Self::Signs),
            Codes::Product { segments, centroids, .. } => {
                let segments = if segments == 0 { product::segments_for(dim) } else { segments.min(dim) };
                let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
                let centroids = narrow(centroids.clamp(2, CENTROIDS));
                (distance != Distance::Hamming).then_some(Self::Product { segments: narrow(segments), centroids })
            }
        }
    }

    /// For messages and tables.
    pub(in crate::vector) fn name(self) -> &'static str {
        match self {
            Self::Rotational { bits: 1 } => "rq1",
            Self::Rotational { bits: 4 } => "rq4",
            Self::Rotational { .. } => "int8",
            Self::Scalar => "sq",
            Self::Signs => "bq",
            Self::Product { .. } => "pq",
        }
    }

    /// Whether the codes of two stored vectors tell their distance well enough to choose neighbours by; else the graph is
    /// linked on the originals.
    pub(in crate::vector) fn is_fine(self) -> bool {
        matches!(self, Self::Rotational { bits: 8 } | Self::Scalar)
    }

    /// Whether these codes must see vectors before they can be made.
    pub(in crate::vector) fn is_trained(self) -> bool {
        matches!(self, Self::Scalar | Self::Product { .. })
    }

    /// Candidates of a graph search that are as good as `ef` of f32, where the settings leave it open.
    pub(in crate::vector) fn candidates_for(self, ef: usize) -> usize {
        match self {
            Self::Signs => ef.saturating_mul(3),
            Self::Rotational { .. } | Self::Scalar | Self::Product { .. } => ef,
        }
    }

    /// Bytes of a row.
    pub(in crate::vector) fn stride(self, dim: usize) -> usize {
        let padded = padded(dim);
        match self {
            Self::Rotational { bits } => padded * usize::from(bits) / 8 + CODE_TRAILER_BYTES,
            Self::Scalar => padded + CODE_TRAILER_BYTES,
            Self::Signs => padded / 8,
            Self::Product { segments, .. } => (segments as usize).next_multiple_of(4),
        }
    }
}

/// Components of a code of whole blocks.
pub(super) fn padded(dim: usize) -> usize {
    dim.next_multiple_of(64)
}

/// A kind of code, ready to code vectors of one index. Never changes.
#[derive(Debug)]
pub(in crate::vector) struct Codec {
    distance: Distance,
    dim: usize,
    kind: CodeKind,
    coder: Coder,
}

#[derive(Debug)]
enum Coder {
    Rotational(Rotational),
    Scalar(Scalar),
    Signs,
    Product(Product),
}

/// What [`Codec::saved`] writes and [`Codec::load`] reads; the format is postcard's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::vector) struct SavedCodec {
    /// Which codes.
    pub kind: CodeKind,
    /// Seed of the rotation.
    pub seed: u64,
    /// `[dim]`, what is taken off before rotating; empty if nothing is.
    pub centre: Vec<f32>,
    /// Middle and size of the steps of `Scalar`; empty else.
    pub steps: Vec<f32>,
    /// `[segments]` columns of `Product`, see [`Product`]; empty else.
    pub centroids: Vec<f32>,
}

impl Codec {
    /// Codes that need no training.
    pub(in crate::vector) fn untrained(distance: Distance, dim: usize, kind: CodeKind, seed: u64) -> Option<Self> {
        let coder = match kind {
            CodeKind::Rotational { bits } => Coder::Rotational(Rotational::new(padded(dim), bits, seed, Vec::new())),
            CodeKind::Signs => Coder::Signs,
            CodeKind::Scalar | CodeKind::Product { .. } => return None,
        };
        Some(Self { distance, dim, kind, coder })
    }

    /// These codes around a centre, `[dim]`, if the kind can have one.
    pub(in crate::vector) fn around(&self, centre: Vec<f32>) -> Option<Self> {
        assert_eq!(centre.len(), self.dim, "a centre is a vector");
        let (CodeKind::Rotational { bits }, Coder::Rotational(coder)) = (self.kind, &self.coder) else { return None };
        let coder = Coder::Rotational(Rotational::new(padded(self.dim), bits, coder.seed, centre));
        Some(Self { coder, ..*self })
    }

    /// Scalar codes with trained steps.
    pub(in crate::vector) fn scalar(distance: Distance, dim: usize, scalar: Scalar) -> Self {
        Self { distance, dim, kind: CodeKind::Scalar, coder: Coder::Scalar(scalar) }
    }

    /// Product codes with trained centroids.
    pub(in crate::vector) fn product(distance: Distance, dim: usize, kind: CodeKind, product: Product) -> Self {
        Self { distance, dim, kind, coder: Coder::Product(product) }
    }

    /// What to keep of it.
    pub(in crate::vector) fn saved(&self) -> SavedCodec {
        let mut saved =
            SavedCodec { kind: self.kind, seed: 0, centre: Vec::new(), steps: Vec::new(), centroids: Vec::new() };
        match &self.coder {
            Coder::Rotational(rotational) => {
                saved.seed = rotational.seed;
                saved.centre.clone_from(&rotational.centre);
            }
            Coder::Scalar(scalar) => saved.steps = vec![scalar.middle, scalar.step],
            Coder::Signs => {}
            Coder::Product(product) => saved.centroids = product.columns().to_vec(),
        }
        saved
    }

    /// Of what was kept; `None` if that cannot be.
    pub(in crate::vector) fn load(distance: Distance, dim: usize, saved: &SavedCodec) -> Option<Self> {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        match saved.kind {
            CodeKind::Rotational { bits: 1 | 4 | 8 } if distance.survives_rotation() && finite(&saved.centre) => {
                let codec = Self::untrained(distance, dim, saved.kind, saved.seed)?;
                match saved.centre.len() {
                    0 => Some(codec),
                    length if length == dim => codec.around(saved.centre.clone()),
                    _ => None,
                }
            }
            CodeKind::Signs => Self::untrained(distance, dim, saved.kind, saved.seed),
            CodeKind::Scalar if distance.survives_rotation() && finite(&saved.steps) => {
                let [middle, step] = *saved.steps.as_slice() else { return None };
                Some(Self::scalar(distance, dim, Scalar { middle, step }))
            }
            CodeKind::Product { segments, centroids } if finite(&saved.centroids) => {
                let product = Product::new(dim, segments as usize, centroids as usize, saved.centroids.clone())?;
                Some(Self::product(distance, dim, saved.kind, product))
            }
            CodeKind::Rotational { .. } | CodeKind::Scalar | CodeKind::Product { .. } => None,
        }
    }

    pub(in crate::vector) fn kind(&self) -> CodeKind {
        self.kind
    }

    /// Bytes of a row.
    pub(in crate::vector) fn stride(&self) -> usize {
        self.kind.stride(self.dim)
    }

    /// `row` becomes the code of `vector`, [`stride`](Self::stride) bytes; `scratch` is scratch.
    pub(in crate::vector) fn encode(&self, vector: &[f32], scratch: &mut Vec<f32>, row: &mut Vec<u8>) {
        assert_eq!(vector.len(), self.dim, "vectors of one index have one length");
        row.clear();
        match &self.coder {
            Coder::Rotational(rotational) => rotational.encode(self.distance, vector, scratch, row),
            Coder::Scalar(scalar) => scalar.encode(self.distance, vector, row),
            Coder::Signs => signs::encode(vector, row),
            Coder::Product(product) => product.encode(vector, row),
        }
        row.resize(self.stride(), 0);
    }

    /// A query made ready to be compared with rows.
    pub(in crate::vector) fn prepare(&self, vector: &[f32]) -> CodedQuery {
        let form = match &self.coder {
            Coder::Rotational(rotational) => Form::Linear(rotational.code(self.distance, vector)),
            Coder::Scalar(scalar) => Form::Linear(scalar.code(self.distance, vector)),
            Coder::Signs => {
                let mut row = Vec::with_capacity(self.stride());
                signs::encode(vector, &mut row);
                row.resize(self.stride(), 0);
                Form::Signs(row)
            }
            Coder::Product(product) => Form::Table(product.table(self.distance, vector)),
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^24")]
        let root = (padded(self.dim) as f32).sqrt();
        CodedQuery { form, kind: self.kind, distance: self.distance, base: self.base(), root }
    }

    /// A stored row as a query, for comparing two stored vectors. Fine kinds only.
    pub(in crate::vector) fn stored_query<'r>(&self, row: &'r [u8]) -> CodeQuery<'r> {
        assert!(self.kind.is_fine() && row.len() == self.stride(), "only fine codes are compared with each other");
        let trailer = Trailer::read(row);
        let code = bytemuck::cast_slice(&row[..row.len() - CODE_TRAILER_BYTES]);
        CodeQuery::Bytes(linear(self.distance, code, trailer.scale, trailer.term, self.base()))
    }

    /// What the value of every pair has beside the terms of both sides; `None` if terms do not count.
    fn base(&self) -> Option<f32> {
        match &self.coder {
            _ if self.distance == Distance::L2Squared => Some(0.0),
            Coder::Scalar(scalar) => Some(scalar.base(self.dim)),
            Coder::Rotational(rotational) if !rotational.centre.is_empty() => Some(rotational.base()),
            Coder::Rotational(_) | Coder::Signs | Coder::Product(_) => None,
        }
    }
}

fn linear(distance: Distance, code: &[i8], scale: f32, term: f32, base: Option<f32>) -> LinearQuery<'_> {
    let dot_weight = if distance == Distance::L2Squared { -2.0 * scale } else { -scale };
    match base {
        Some(base) => LinearQuery { code, term_weight: 1.0, offset: term + base, dot_weight },
        None => LinearQuery { code, term_weight: 0.0, offset: 0.0, dot_weight },
    }
}

/// A query as codes compare it.
#[derive(Debug)]
pub(in crate::vector) struct CodedQuery {
    form: Form,
    kind: CodeKind,
    distance: Distance,
    base: Option<f32>,
    /// Root of the number of components.
    root: f32,
}

#[derive(Debug)]
enum Form {
    Linear(Bytes),
    Signs(Vec<u8>),
    Table(Vec<f32>),
}

/// Rounding of f32 sums, relative to the product of the norms.
const ROUNDING: f32 = 1e-5;

/// Standard deviations of the coding error within which a candidate is read. The error lies in a random direction, so its
/// part along the query is smaller than its norm by the root of the dimension.
const DEVIATIONS: f32 = 4.0;

impl CodedQuery {
    /// For the kernels.
    pub(in crate::vector) fn view(&self) -> CodeQuery<'_> {
        match &self.form {
            Form::Signs(signs) => CodeQuery::Signs(signs),
            Form::Table(table) => CodeQuery::Table(table),
            Form::Linear(code) => {
                let query = linear(self.distance, &code.values, code.scale, code.term, self.base);
                match self.kind {
                    CodeKind::Rotational { bits: 4 } => CodeQuery::Nibbles(query),
                    CodeKind::Rotational { bits: 1 } => CodeQuery::Bits(query),
                    _ => CodeQuery::Bytes(query),
                }
            }
        }
    }

    /// Whether exact scans profit from the code.
    pub(in crate::vector) fn is_fine(&self) -> bool {
        self.kind.is_fine()
    }

    /// Candidates to fetch in a scan for the `k` nearest, where the settings leave it open.
    pub(in crate::vector) fn fetched(&self, k: usize) -> usize {
        let (least, factor) = match self.kind {
            CodeKind::Rotational { bits: 8 } | CodeKind::Scalar => (20, 1),
            CodeKind::Rotational { bits: 4 } => (64, 2),
            CodeKind::Product { .. } => (256, 8),
            CodeKind::Rotational { .. } | CodeKind::Signs => (512, 16),
        };
        k.saturating_mul(factor).max(least)
    }

    /// How far values of rows can be from the true ones; `None` if too little is known for exact scans to profit.
    pub(in crate::vector) fn worst_error(&self) -> Option<WorstError> {
        let Form::Linear(code) = &self.form else { return None };
        // Under L2 the terms are norms, which count already.
        let terms = if self.base.is_some_and(|base| base != 0.0) { ROUNDING } else { 0.0 };
        self.kind.is_fine().then_some(WorstError {
            error: code.error,
            norm: code.norm,
            doubled: self.distance == Distance::L2Squared,
            terms,
            constant: terms * (code.term.abs() + self.base.unwrap_or_default().abs()),
        })
    }

    /// How far the value of a row is from the true one in all but rare cases. An infinite one means that nothing is known.
    #[inline(always)]
    pub(in crate::vector) fn likely_error(&self, row: &[u8]) -> f32 {
        let Form::Linear(code) = &self.form else { return f32::INFINITY };
        let Trailer { error, norm, .. } = Trailer::read(row);
        let deviation = (norm * code.error).hypot(code.norm * error) / self.root;
        let weight = if self.distance == Distance::L2Squared { 2.0 } else { 1.0 };
        let slack = weight * DEVIATIONS * deviation;
        if slack.is_nan() { f32::INFINITY } else { slack }
    }
}

/// Bounds of the difference between a value by codes and the true one, by Cauchy-Schwarz on the coding errors of both sides.
#[derive(Debug, Clone, Copy)]
pub(in crate::vector) struct WorstError {
    error: f32,
    norm: f32,
    doubled: bool,
    /// Rounding of the rows' terms, and of what does not depend on the row.
    terms: f32,
    constant: f32,
}

impl WorstError {
    /// For a row. An infinite one means that nothing is known.
    #[inline(always)]
    pub(in crate::vector) fn of(&self, row: &[u8]) -> f32 {
        let Trailer { error, norm, term, .. } = Trailer::read(row);
        let products = norm * self.error + (self.norm + self.error) * error;
        let slack = if self.doubled {
            2.0 * products + ROUNDING * (norm * norm + self.norm * self.norm)
        } else {
            products + ROUNDING * norm * self.norm
        };
        let slack = slack + self.terms * term.abs() + self.constant;
        if slack.is_nan() { f32::INFINITY } else { slack }
    }
}
