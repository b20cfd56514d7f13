//! Messages of gRPC: protobuf, charged with the memory that they become before they are decoded.
//!
//! An empty part of a list is two bytes on the wire and some hundred in memory: a message within the limit of size could
//! otherwise take all the memory there is.

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use crate::request_memory;

/// Bytes in memory of a part of the outermost message: the largest are objects of a batch.
const OUTER_BYTES: usize = 512;
/// Bytes in memory of a text, a list or a message inside.
const INNER_BYTES: usize = 48;
/// Deepest nesting that is decoded.
const DEPTH_MAX: usize = 100;

/// [`ProstCodec`] with a look at each message first.
#[derive(Debug)]
pub(crate) struct Charged<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Charged<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + 'static, U: Message + Default + 'static> Codec for Charged<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ChargedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        ChargedDecoder(ProstCodec::<T, U>::default().decoder())
    }
}

/// Charges the request, then decodes.
#[derive(Debug)]
pub(crate) struct ChargedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default> Decoder for ChargedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A message lies in one piece; if that ever changes, what is not seen is charged by its size.
        let seen = buf.chunk();
        let unseen = buf.remaining() - seen.len();
        // A stream of requests has no share of its own: its messages are charged one by one, where they are processed.
        let bytes = if request_memory::current().is_some() { unseen + cost(seen) } else { 0 };
        request_memory::charge(bytes).map_err(|refusal| match refusal.is_for_now() {
            // The call had no effect yet: the client may send it again.
            true => Status::unavailable(refusal.to_string()),
            false => Status::resource_exhausted(refusal.to_string()),
        })?;
        self.0.decode(buf)
    }
}

/// What a message takes in memory, at most about, without knowing its type.
pub(super) fn cost(message: &[u8]) -> usize {
    let outer = parts(message).map_or(0, Iterator::count);
    message.len() + outer * OUTER_BYTES + inner(message, 0) * INNER_BYTES
}

/// The members of an encoded `Data` of a batch stream, which are two levels deep, and what the message takes in memory.
pub(super) fn size_of_data(data: &[u8]) -> (usize, usize) {
    let Some(lists) = parts(data) else { return (0, data.len()) };
    lists.flatten().fold((0, data.len()), |(members, bytes), list| {
        (members + parts(list).map_or(0, Iterator::count), bytes + cost(list))
    })
}

/// Parts with a length of their own, at all depths. What reads like a message is taken for one: a text that does is
/// charged too much.
fn inner(message: &[u8], depth: usize) -> usize {
    let Some(parts) = parts(message).filter(|_| depth < DEPTH_MAX) else { return 0 };
    parts.flatten().map(|part| 1 + inner(part, depth + 1)).sum()
}

/// The parts of a message, those with a length as `Some`; `None` if it is no message.
fn parts(message: &[u8]) -> Option<impl Iterator<Item = Option<&[u8]>>> {
    let mut rest = message;
    while !rest.is_empty() {
        next(&mut rest)?;
    }
    let mut rest = message;
    Some(std::iter::from_fn(move || if rest.is_empty() { None } else { next(&mut rest) }))
}

/// Takes one part off. Groups, which nobody sends any more, are no message here.
fn next<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let tag = varint(rest)?;
    if tag >> 3 == 0 {
        return None;
    }
    match tag & 7 {
        0 => varint(rest).map(|_| None),
        1 => take(rest, 8).map(|_| None),
        5 => take(rest, 4).map(|_| None),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            take(rest, length).map(Some)
        }
        _ => None,
    }
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(bytes)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (place, &byte) in rest.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            *rest = &rest[place + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::weaviate::{BatchObject, BatchObjectsRequest};

    #[test]
    fn many_empty_parts_cost_what_they_become() {
        let objects = vec![BatchObject::default(); 1_000];
        let real = size_of_val(&objects[..]);
        let message = BatchObjectsRequest { objects, ..Default::default() }.encode_to_vec();
        assert_eq!(message.len(), 2_000);
        assert!((real..4 * real).contains(&cost(&message)), "{} for {real}", cost(&message));
    }

    #[test]
    fn vectors_cost_about_their_size() {
        let vector_bytes = (0..1_536_u16).flat_map(|n| (f32::from(n) * 0.37).sin().to_le_bytes()).collect::<Vec<_>>();
        let object = BatchObject { uuid: "0".repeat(36), vector_bytes, ..Default::default() };
        let message = BatchObjectsRequest { objects: vec![object; 100], ..Default::default() }.encode_to_vec();
        assert!(cost(&message) < 2 * message.len(), "{} for {}", cost(&message), message.len());
    }

    #[test]
    fn damaged_and_deep_messages_end() {
        for bad in [&[0x0a][..], &[0x0a, 5, 1], &[0xff; 12], &[0x0b], &[0, 0], &[0x80; 3]] {
            assert_eq!(inner(bad, 0), 0, "{bad:?}");
        }
        let mut deep = Vec::new();
        for _ in 0..1_000 {
            let mut outer = vec![0x0a];
            prost::encoding::encode_varint(deep.len() as u64, &mut outer);
            outer.extend(&deep);
            deep = outer;
        }
        assert_eq!(inner(&deep, 0), DEPTH_MAX);
    }
}
