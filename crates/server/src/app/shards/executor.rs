//! Who answers the reads of shards.

use azimuth_engine::Result;
use azimuth_engine::data::DataGroup;
use azimuth_engine::query::{ShardAnswer, ShardRead, decode_answer, encode_answer};

use crate::request_memory;

/// Answers reads of shards.
pub(crate) trait Executor: Sync {
    /// The answers, in the order of the reads.
    fn execute(&self, reads: Vec<ShardRead>) -> Vec<Result<ShardAnswer>>;
}

/// Answers from the data group of this node, on the calling thread.
pub(crate) struct Local<'a>(pub(crate) &'a DataGroup);

impl Executor for Local<'_> {
    fn execute(&self, reads: Vec<ShardRead>) -> Vec<Result<ShardAnswer>> {
        let answer = |mut read: ShardRead| {
            read.charge_with(request_memory::reading());
            self.0.execute(read)
        };
        reads.into_iter().map(answer).collect()
    }
}

/// Passes each read and each answer through its encoded form, as a connection to another node would; for tests.
pub(crate) struct Encoded<E>(pub(crate) E);

impl<E: Executor> Executor for Encoded<E> {
    fn execute(&self, reads: Vec<ShardRead>) -> Vec<Result<ShardAnswer>> {
        let answer = |read: ShardRead| {
            let read = ShardRead::decode(&read.encode()?)?;
            let answers = self.0.execute(vec![read]);
            answers.into_iter().try_fold(ShardAnswer::Done, |_, answer| decode_answer(&encode_answer(&answer)?))
        };
        reads.into_iter().map(answer).collect()
    }
}
