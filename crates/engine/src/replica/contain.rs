//! Containment: a command that apply cannot carry out is refused, and the group goes on.
//!
//! A panic within an apply, or an error that does not come from the storage, follows from a command and the stored
//! data: it would come again at every replay and on every replica, and end the node each time. So the effects of the
//! apply are discarded, its entries are applied one by one, and within the entry that fails the first command with
//! which it fails is found by trials that write nothing. That command is left out and its outcome is
//! [`Outcome::Refused`], here, on every replica and at every replay, because all of it follows from the log. An apply
//! that does not fail pays nothing for containment: the commands are read from the log again only after a failure.
//!
//! Panics after the write are not contained, because the effects cannot be discarded any more. After the write only the
//! vector indexes run code that depends on content, and they contain their own panics (`shard::indexes`).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::{Entry, EntryBody};
use crate::command::{Command, Outcome};
use crate::error::panic_text;
use crate::ids::GroupId;
use crate::{Error, Result};

/// Commands of one entry that are refused one by one. When there are more, the rest of the entry is refused with them: each
/// costs some trials of the entry.
const CULPRITS_MAX: usize = 8;

/// Applies entries and returns the outcomes of each entry's commands.
pub(crate) type Apply<'a> = dyn FnMut(Vec<Entry>, &Attempt) -> Result<Vec<Vec<Outcome>>> + 'a;

/// One try to apply entries.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    /// Nothing is written: the attempt only shows whether the entries could be written.
    trial: bool,
    written: Cell<bool>,
}

impl Attempt {
    /// Whether to go on to the write. From then on the effects cannot be discarded.
    pub(crate) fn may_write(&self) -> bool {
        self.written.set(!self.trial);
        !self.trial
    }

    /// Whether the attempt went on to the write.
    pub(crate) fn is_written(&self) -> bool {
        self.written.get()
    }
}

/// The result of a contained apply.
#[derive(Debug, Default)]
pub(crate) struct Contained {
    /// Of each entry's commands.
    pub outcomes: Vec<Vec<Outcome>>,
    /// How many commands were refused because they could not be carried out.
    pub refused: u64,
}

/// Applies `entries` by `attempt`, which asks [`Attempt::may_write`] before it writes. `again` reads the entry with that
/// number once more; without it nothing is contained. `nothing` is a command that this group refuses.
///
/// # Errors
/// Those of the storage, and [`Error::Damaged`] when an entry fails without any of its commands.
pub(crate) fn contained(
    group: GroupId,
    entries: Vec<Entry>,
    again: Option<&dyn Fn(usize) -> Result<Entry>>,
    nothing: &Command,
    attempt: &mut Apply<'_>,
) -> Result<Contained> {
    let count = entries.len();
    let Some(again) = again else {
        return Ok(Contained { outcomes: attempt(entries, &Attempt::default())?, refused: 0 });
    };
    let why = match guarded(attempt, entries, false)? {
        Ok(outcomes) => return Ok(Contained { outcomes, refused: 0 }),
        Err(why) => why,
    };
    tracing::warn!(group = group.0, entries = count, why, "an apply failed; its entries are applied one by one");
    let mut contained = Contained::default();
    for number in 0..count {
        let mut one = One { group, nothing, refused: BTreeMap::new(), again: &|| again(number), attempt };
        contained.outcomes.push(one.apply()?);
        contained.refused += one.refused.len() as u64;
    }
    Ok(contained)
}

/// One entry.
struct One<'a> {
    group: GroupId,
    nothing: &'a Command,
    /// The numbers of refused commands, and why each is refused.
    refused: BTreeMap<usize, String>,
    again: &'a dyn Fn() -> Result<Entry>,
    attempt: &'a mut Apply<'a>,
}

impl One<'_> {
    fn apply(&mut self) -> Result<Vec<Outcome>> {
        loop {
            let entry = self.entry(usize::MAX)?;
            let why = match guarded(self.attempt, vec![entry], false)? {
                Ok(mut outcomes) => {
                    let mut outcomes = outcomes.pop().unwrap_or_default();
                    for (&number, why) in &self.refused {
                        // A command that repeats an applied one has no outcome of its own.
                        if let Some(outcome) = outcomes.get_mut(number).filter(|outcome| **outcome != Outcome::Repeated)
                        {
                            *outcome = Outcome::Refused(why.clone());
                        }
                    }
                    return Ok(outcomes);
                }
                Err(why) => why,
            };
            self.refuse_one(&why)?;
        }
    }

    /// The entry without the commands that are refused, and without those from `upto` on.
    fn entry(&self, upto: usize) -> Result<Entry> {
        let mut entry = (self.again)()?;
        for (number, command) in commands(&mut entry).iter_mut().enumerate() {
            if number >= upto || self.refused.contains_key(&number) {
                *command = self.nothing.clone();
            }
        }
        Ok(entry)
    }

    /// Finds the command that ends the shortest beginning of the entry with which it fails.
    fn refuse_one(&mut self, why: &str) -> Result<()> {
        let mut entry = (self.again)()?;
        let position = entry.position;
        let count = commands(&mut entry).len();
        let (mut fine, mut fails, mut why) = (0, count, why.to_owned());
        let without_any = self.entry(0)?;
        if count == 0 || guarded(self.attempt, vec![without_any], true)?.is_err() {
            return Err(Error::Damaged(format!("entry {position:?} cannot be applied: {why}")));
        }
        while fails - fine > 1 {
            let middle = fine + (fails - fine) / 2;
            let beginning = self.entry(middle)?;
            match guarded(self.attempt, vec![beginning], true)? {
                Ok(_) => fine = middle,
                Err(found) => (fails, why) = (middle, found),
            }
        }
        let last = if self.refused.len() < CULPRITS_MAX { fine + 1 } else { count };
        for number in fine..last {
            tracing::error!(
                group = self.group.0,
                term = position.term,
                index = position.index,
                command = number,
                kind = commands(&mut entry)[number].kind(),
                why,
                "a command cannot be carried out and is refused; please report this with the lines before it"
            );
            self.refused.entry(number).or_insert_with(|| format!("the command cannot be carried out: {why}"));
        }
        Ok(())
    }
}

fn commands(entry: &mut Entry) -> &mut [Command] {
    match &mut entry.body {
        EntryBody::Blank | EntryBody::Membership(_) => &mut [],
        EntryBody::Batch(batch) => &mut batch.commands,
    }
}

/// Why the attempt failed, if its effects could be discarded.
fn guarded(
    attempt: &mut Apply<'_>,
    entries: Vec<Entry>,
    trial: bool,
) -> Result<std::result::Result<Vec<Vec<Outcome>>, String>> {
    let this = Attempt { trial, written: Cell::new(false) };
    match catch_unwind(AssertUnwindSafe(|| attempt(entries, &this))) {
        Ok(Ok(outcomes)) => Ok(Ok(outcomes)),
        Ok(Err(error)) if error.is_fatal() || this.written.get() => Err(error),
        Ok(Err(error)) => Ok(Err(error.to_string())),
        Err(panic) if this.written.get() => resume_unwind(panic),
        Err(panic) => Ok(Err(panic_text(panic.as_ref()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CollectionId;
    use crate::replica::{Batch, LogPosition};

    const NOTHING: Command = Command::DeleteCollection(CollectionId(0));

    fn entry(index: u64, numbers: &[u32]) -> Entry {
        let commands = numbers.iter().map(|number| Command::DropCollection(CollectionId(*number))).collect();
        let batch = Batch { proposer: 1, sequence: index, commands };
        Entry { position: LogPosition { term: 1, node: 1, index }, body: EntryBody::Batch(batch) }
    }

    /// Applies entries to a list of numbers; numbers from 900 on panic, 800 is an error.
    fn run(entries: &[Entry]) -> Result<(Vec<u32>, Contained)> {
        let mut applied = Vec::new();
        let mut attempt = |entries: Vec<Entry>, attempt: &Attempt| {
            let mut next = applied.clone();
            let mut outcomes = Vec::new();
            for mut entry in entries {
                let mut run = |command: &Command| match command {
                    Command::DropCollection(CollectionId(800)) => Err(Error::Limit("too much".into())),
                    Command::DropCollection(CollectionId(700)) => Err(Error::Storage("the disk".into())),
                    Command::DropCollection(CollectionId(number)) => {
                        assert!(*number < 900, "no {number}");
                        next.push(*number);
                        Ok(Outcome::Done)
                    }
                    _ => Ok(Outcome::Refused("not here".into())),
                };
                outcomes.push(commands(&mut entry).iter().map(&mut run).collect::<Result<Vec<_>>>()?);
            }
            if attempt.may_write() {
                applied = next;
            }
            Ok(outcomes)
        };
        let again = |number: usize| Ok(entries[number].clone());
        let contained = contained(GroupId(1), entries.to_vec(), Some(&again), &NOTHING, &mut attempt)?;
        Ok((applied, contained))
    }

    #[test]
    fn the_culprits_are_refused_and_nothing_else() {
        let entries = [entry(1, &[1, 2]), entry(2, &[3, 900, 4, 800, 5, 6, 901]), entry(3, &[]), entry(4, &[7])];
        let (applied, contained) = run(&entries).unwrap();
        assert_eq!((applied, contained.refused), (vec![1, 2, 3, 4, 5, 6, 7], 3));
        let refused = |why: &str| Outcome::Refused(format!("the command cannot be carried out: {why}"));
        let done = || Outcome::Done;
        let second = vec![done(), refused("no 900"), done(), refused("too much"), done(), done(), refused("no 901")];
        assert_eq!(contained.outcomes, [vec![done(), done()], second, vec![], vec![done()]]);
        // The outcomes do not depend on which entries are applied together.
        for (number, entry) in entries.iter().enumerate() {
            let (_, alone) = run(std::slice::from_ref(entry)).unwrap();
            assert_eq!(alone.outcomes[0], contained.outcomes[number]);
        }
    }

    #[test]
    fn many_culprits_end_the_entry_they_are_in() {
        let mut numbers: Vec<u32> = (1..=5).collect();
        numbers.extend(900..950);
        numbers.push(6);
        let (applied, contained) = run(&[entry(1, &numbers), entry(2, &[8])]).unwrap();
        assert_eq!((applied, contained.refused), (vec![1, 2, 3, 4, 5, 8], 51));
    }

    #[test]
    fn errors_of_the_storage_are_not_contained() {
        assert!(matches!(run(&[entry(1, &[1, 700, 2])]), Err(Error::Storage(_))));
    }
}
