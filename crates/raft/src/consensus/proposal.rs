//! A batch of commands on its way into the log.

use azimuth_engine::command::Command;
use azimuth_engine::group::Batch;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A command with its encoded form, which whoever proposes makes, so that the one who writes the log need not.
#[derive(Debug)]
pub(crate) struct EncodedCommand {
    /// The command.
    pub(crate) command: Command,
    /// The command in postcard.
    pub(crate) encoded: Vec<u8>,
}

impl EncodedCommand {
    /// Encodes it.
    pub(crate) fn new(command: Command) -> Result<Self, postcard::Error> {
        Ok(Self { encoded: postcard::to_stdvec(&command)?, command })
    }
}

/// A batch with its encoded form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proposal {
    batch: Batch,
    payload: Bytes,
}

impl Proposal {
    /// Puts a batch together. The payload is the batch in postcard: its two numbers, how many commands, the commands.
    pub(crate) fn new(proposer: u64, sequence: u64, encoded: Vec<EncodedCommand>) -> Result<Self, postcard::Error> {
        let bytes = encoded.iter().map(|command| command.encoded.len()).sum::<usize>();
        let mut payload = Vec::with_capacity(bytes + 24);
        payload = postcard::to_extend(&(proposer, sequence, encoded.len()), payload)?;
        let mut commands = Vec::with_capacity(encoded.len());
        for command in encoded {
            payload.extend_from_slice(&command.encoded);
            commands.push(command.command);
        }
        Ok(Self { batch: Batch { proposer, sequence, commands }, payload: payload.into() })
    }

    /// Reads a payload.
    pub(crate) fn decode(payload: Bytes) -> Result<Self, postcard::Error> {
        Ok(Self { batch: postcard::from_bytes(&payload)?, payload })
    }

    /// The batch in postcard.
    pub(crate) fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The batch.
    pub(crate) fn into_batch(self) -> Batch {
        self.batch
    }
}

impl Serialize for Proposal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(self.payload.as_ref(), serializer)
    }
}

impl<'de> Deserialize<'de> for Proposal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let payload: Vec<u8> = serde_bytes::deserialize(deserializer)?;
        Self::decode(payload.into()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use azimuth_engine::ids::CollectionId;

    #[test]
    fn payload_is_the_batch_in_postcard() {
        let commands: Vec<_> = (0..300).map(|id| Command::DeleteCollection(CollectionId(id))).collect();
        let encoded = commands.iter().cloned().map(|command| EncodedCommand::new(command).unwrap()).collect();
        let proposal = Proposal::new(u64::MAX, 300, encoded).unwrap();
        let batch = Batch { proposer: u64::MAX, sequence: 300, commands };
        assert_eq!(proposal.payload().as_ref(), postcard::to_stdvec(&batch).unwrap());
        assert_eq!(Proposal::decode(proposal.payload().clone()).unwrap(), proposal);
        assert_eq!(proposal.into_batch(), batch);
    }
}
