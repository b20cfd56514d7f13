//! Aliases in the meta group: random commands against a map, restarts, copies, and a directory of the first version.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::ids::{CollectionId, GroupId};
use azimuth_engine::limits::ALIAS_NAME_BYTES_MAX;
use azimuth_engine::meta::MetaGroup;
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::{Alias, Collection};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use tempfile::tempdir;

use crate::fixtures::{fixtures, write_fixture};
use crate::support::{collection, copy_dir, entry, options};

fn open_meta(dir: &Path) -> Arc<MetaGroup> {
    MetaGroup::open(dir, GroupId::META, &options().storage).unwrap().0
}

fn apply_meta(group: &MetaGroup, command: Command) -> Outcome {
    let last = group.applied().unwrap().position.map_or(0, |position| position.index);
    group.apply(vec![entry(last + 1, vec![command])]).unwrap().remove(0).remove(0)
}

fn alias(name: &str, collection: &str) -> Alias {
    Alias { name: name.into(), collection: collection.into() }
}

fn create(name: &str) -> Command {
    let collection = Collection { listed: None, listed_next: None, ..collection(0, name, Vec::new()) };
    Command::CreateSharded { collection: Box::new(collection), shards: Vec::new() }
}

/// Aliases of the group, as the model has them.
fn listed(group: &MetaGroup) -> BTreeMap<String, String> {
    let aliases = group.catalog().aliases();
    aliases.iter().map(|alias| (alias.name.clone(), alias.collection.clone())).collect()
}

/// The naive model: names of collections with their ids, and aliases.
#[derive(Default)]
struct Model {
    collections: BTreeMap<String, CollectionId>,
    aliases: BTreeMap<String, String>,
}

impl Model {
    fn is_collection(&self, name: &str) -> bool {
        self.collections.keys().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether the command is carried out, which changes the model.
    fn apply(&mut self, command: &Command) -> bool {
        match command {
            Command::CreateAlias(Alias { name, collection }) => {
                let free = !self.is_collection(name) && !self.aliases.contains_key(name);
                let done = free && self.collections.contains_key(collection);
                done && self.aliases.insert(name.clone(), collection.clone()).is_none()
            }
            Command::UpdateAlias(Alias { name, collection }) => {
                let done = self.aliases.contains_key(name) && self.collections.contains_key(collection);
                done && self.aliases.insert(name.clone(), collection.clone()).is_some()
            }
            Command::DropAlias(name) => self.aliases.remove(name).is_some(),
            Command::DeleteCollection(id) => {
                let before = self.collections.len();
                self.collections.retain(|_, known| known != id);
                self.collections.len() < before
            }
            Command::CreateSharded { collection, .. } => {
                let name = &collection.name;
                !self.is_collection(name) && !self.aliases.keys().any(|alias| alias.eq_ignore_ascii_case(name))
            }
            other => panic!("{other:?}"),
        }
    }
}

fn any_command(rng: &mut ChaCha8Rng, model: &Model) -> Command {
    const NAMES: [&str; 6] = ["Book", "BOOK", "Film", "Reading", "READING", "Pages"];
    let name = |rng: &mut ChaCha8Rng| NAMES[rng.random_range(0..NAMES.len())];
    match rng.random_range(0..10) {
        0..4 => Command::CreateAlias(alias(name(rng), name(rng))),
        4..6 => Command::UpdateAlias(alias(name(rng), name(rng))),
        6 => Command::DropAlias(name(rng).into()),
        7 => {
            let id = model.collections.values().choose(rng).copied();
            Command::DeleteCollection(id.unwrap_or(CollectionId(9_999)))
        }
        _ => create(name(rng)),
    }
}

#[test]
fn aliases_follow_the_model() {
    for seed in 0..20 {
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let dir = tempdir().unwrap();
        let (mut group, mut model) = (open_meta(dir.path()), Model::default());
        for step in 0..120 {
            let command = any_command(&mut rng, &model);
            let expected = model.apply(&command);
            let outcome = apply_meta(&group, command.clone());
            let done = match &outcome {
                Outcome::Done => true,
                Outcome::Created { collection, .. } => {
                    model.collections.insert(collection.name.clone(), collection.id);
                    true
                }
                Outcome::Conflict(_) | Outcome::NotFound => false,
                other => panic!("seed {seed}, step {step}: {command:?} ended with {other:?}"),
            };
            assert_eq!(done, expected, "seed {seed}, step {step}: {command:?} ended with {outcome:?}");
            assert_eq!(listed(&group), model.aliases, "seed {seed}, step {step}");
            let catalog = group.catalog();
            for (name, target) in &model.aliases {
                let expected = model.collections.get(target).copied();
                assert_eq!(catalog.resolve(name).map(|collection| collection.id), expected, "seed {seed}, step {step}");
            }
            if rng.random_range(0..30) == 0 {
                let hash = group.state_hash().unwrap();
                group.flush().unwrap();
                drop(group);
                group = open_meta(dir.path());
                assert_eq!((group.state_hash().unwrap(), listed(&group)), (hash, model.aliases.clone()));
            }
        }
    }
}

#[test]
fn copies_of_a_group_have_its_aliases() {
    let (dir, copies) = (tempdir().unwrap(), tempdir().unwrap());
    let group = open_meta(dir.path());
    apply_meta(&group, create("Book"));
    let before = group.state_hash().unwrap();
    assert_eq!(apply_meta(&group, Command::CreateAlias(alias("Reading", "Book"))), Outcome::Done);
    let with_alias = group.state_hash().unwrap();
    assert_ne!(with_alias, before);
    let copy = copies.path().join("state");
    let position = group.checkpoint(&copy).unwrap().position.unwrap();
    assert_eq!(apply_meta(&group, Command::DropAlias("Reading".into())), Outcome::Done);
    let installed = group.install(&copy, position).unwrap();
    assert_eq!((installed.state_hash().unwrap(), installed.catalog().alias_count()), (with_alias, 1));
}

#[test]
fn long_names_are_refused() {
    let dir = tempdir().unwrap();
    let group = open_meta(dir.path());
    apply_meta(&group, create("Book"));
    let longest = "A".repeat(ALIAS_NAME_BYTES_MAX);
    assert_eq!(apply_meta(&group, Command::CreateAlias(alias(&longest, "Book"))), Outcome::Done);
    let outcome = apply_meta(&group, Command::CreateAlias(alias(&(longest + "A"), "Book")));
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}

/// A meta group with aliases, as the first version with aliases wrote it. `AZIMUTH_WRITE_FIXTURES=1` writes it.
#[test]
fn stored_aliases_are_read() {
    if std::env::var("AZIMUTH_WRITE_FIXTURES").is_ok() {
        let dir = tempdir().unwrap();
        let group = open_meta(dir.path());
        apply_meta(&group, create("Book"));
        apply_meta(&group, create("Film"));
        for (name, target) in [("Reading", "Book"), ("READING", "Book"), ("Watching", "Film"), ("Gone", "Film")] {
            assert_eq!(apply_meta(&group, Command::CreateAlias(alias(name, target))), Outcome::Done);
        }
        apply_meta(&group, Command::UpdateAlias(alias("READING", "Film")));
        apply_meta(&group, Command::DropAlias("Gone".into()));
        apply_meta(&group, Command::DeleteCollection(CollectionId(2)));
        group.flush().unwrap();
        drop(group);
        write_fixture("aliases-1", dir.path());
    }
    let dir = tempdir().unwrap();
    copy_dir(&fixtures().join("aliases-1"), dir.path()).unwrap();
    let group = open_meta(dir.path());
    let expected = [("READING", "Film"), ("Reading", "Book"), ("Watching", "Film")];
    let expected = expected.into_iter().map(|(name, target)| (name.to_owned(), target.to_owned())).collect();
    assert_eq!(listed(&group), expected);
    let catalog = group.catalog();
    assert_eq!(catalog.resolve("Reading").map(|collection| collection.name.as_str()), Some("Book"));
    assert!(catalog.resolve("Watching").is_none(), "the collection was dropped");
}
