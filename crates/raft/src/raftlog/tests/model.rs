//! Random operations with restarts in between, held against a naive model.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

#[derive(Default)]
struct Model {
    vote: Option<Vote>,
    purged: Option<LogPosition>,
    entries: BTreeMap<u64, Record>,
    term: u64,
}

impl Model {
    fn last(&self) -> Option<LogPosition> {
        self.entries.last_key_value().map(|(_, record)| record.position).or(self.purged)
    }

    fn next(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    fn check(&self, log: &GroupLog) {
        assert_eq!(log.vote().unwrap(), self.vote);
        assert_eq!((log.bounds().purged, log.bounds().last), (self.purged, self.last()));
        let expected: Vec<_> = self.entries.values().cloned().collect();
        assert_eq!(log.read(0..u64::MAX).unwrap(), expected);
    }
}

#[test]
fn behaves_like_a_map() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut models = [Model::default(), Model::default()];
    for _restart in 0..6 {
        let log = open(dir.path()).unwrap();
        let groups = [log.group(A).unwrap(), log.group(B).unwrap()];
        for _step in 0..40 {
            let which = random.random_range(0..2);
            let (model, group) = (&mut models[which], &groups[which]);
            match random.random_range(0..10) {
                0 => {
                    model.term += 1;
                    model.vote = Some(Vote { term: model.term, node: 1, committed: random.random() });
                    block_on(group.save_vote(model.vote.unwrap())).unwrap();
                }
                1 if !model.entries.is_empty() => {
                    let first = *model.entries.first_key_value().unwrap().0;
                    let from = random.random_range(first..model.next() + 1);
                    model.entries.split_off(&from);
                    model.term += 1;
                    block_on(group.truncate(from)).unwrap();
                }
                2 if !model.entries.is_empty() => {
                    let first = *model.entries.first_key_value().unwrap().0;
                    let upto = random.random_range(first..model.next());
                    let position = model.entries[&upto].position;
                    model.entries = model.entries.split_off(&(upto + 1));
                    model.purged = Some(position);
                    block_on(group.purge(position)).unwrap();
                }
                _ => {
                    let next = model.next();
                    let count = random.random_range(1..5);
                    let bytes = if random.random_ratio(1, 8) { 300_000 } else { random.random_range(0..2_000) };
                    let records: Vec<_> = (next..next + count).map(|index| record(model.term, index, bytes)).collect();
                    block_on(group.append(&records)).unwrap();
                    model.entries.extend(records.into_iter().map(|record| (record.position.index, record)));
                }
            }
        }
        for (model, group) in models.iter().zip(&groups) {
            model.check(group);
        }
        if random.random() {
            log.close(true).unwrap();
        }
        drop(groups);
        drop(log);
        let log = open(dir.path()).unwrap();
        models[0].check(&log.group(A).unwrap());
        models[1].check(&log.group(B).unwrap());
    }
}
