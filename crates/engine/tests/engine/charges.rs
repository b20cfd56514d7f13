//! Reads charge for the memory of their results before they allocate it.

use std::cell::Cell;

use azimuth_engine::command::Command;
use azimuth_engine::object::{Value, Vector};
use azimuth_engine::query::{Charge, Include, Near, Projection, Query, Rank, Sort};
use azimuth_engine::schema::Primitive;
use azimuth_engine::{Error, Result};
use tempfile::tempdir;

use crate::support::{VECTOR, apply, at, collection, id, object, one, open, put, text};

thread_local! {
    /// Bytes that reads of this thread may take.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

fn charge(bytes: usize) -> Result<()> {
    let left = LEFT.get().checked_sub(bytes).ok_or_else(|| Error::TooLarge("no room".to_owned()))?;
    LEFT.set(left);
    Ok(())
}

fn query(rank: Rank, sort: &[&str], include: Include) -> Query {
    let sort = sort.iter().map(|property| Sort { property: (*property).to_owned(), descending: false }).collect();
    Query { rank, filter: None, offset: 0, limit: 100, sort, include }
}

#[test]
fn a_read_ends_where_its_caller_has_no_room() {
    let dir = tempdir().unwrap();
    let group = open(dir.path());
    let properties = vec![one("title", Primitive::Text), one("pages", Primitive::Int)];
    apply(&group, vec![Command::PutCollection(Box::new(collection(1, "Book", properties)))]);
    let objects = (0_u8..100).map(|n| {
        let properties = [("title", text(&"x".repeat(10_000))), ("pages", Value::Int(n.into()))];
        put(at(1), object(n.into(), &properties, Some(&[f32::from(n), 1.0, 0.5])))
    });
    apply(&group, objects.collect());
    let listing = || Rank::Listing { after: None };
    let near = || Rank::Near(Near::to(VECTOR, vec![1.0, 1.0, 0.5], None));
    let pays = |properties, vectors| Include { properties, vectors, charge: Charge::new(charge) };
    let taken = |query: &Query| {
        LEFT.set(usize::MAX / 2);
        assert_eq!(group.search(at(1), query).unwrap().len(), 100);
        usize::MAX / 2 - LEFT.get()
    };
    for (rank, sort, include, least) in [
        (listing(), &[][..], pays(Projection::All, vec![]), 1_000_000),
        (near(), &[][..], pays(Projection::All, vec![VECTOR]), 1_000_000),
        // Only the sort key is decoded.
        (near(), &["pages"][..], pays(Projection::None, vec![]), 20_000),
        (listing(), &[][..], pays(Projection::of(["pages"]), vec![]), 20_000),
        (listing(), &[][..], pays(Projection::of(["title"]), vec![]), 1_000_000),
        // The keys, then the objects.
        (listing(), &["title"][..], pays(Projection::All, vec![]), 2_000_000),
        (listing(), &[][..], pays(Projection::None, vec![]), 5_000),
    ] {
        let query = query(rank, sort, include);
        let bytes = taken(&query);
        assert!((least..2 * least + 50_000).contains(&bytes), "{query:?}: {bytes}");
        LEFT.set(bytes / 2);
        assert!(matches!(group.search(at(1), &query), Err(Error::TooLarge(_))), "{query:?}");
        let together = group.search_many(at(1), &[query.clone(), query.clone()]);
        assert!(together.iter().all(|answer| matches!(answer, Err(Error::TooLarge(_)))), "{query:?}");
    }
    LEFT.set(5_000);
    assert!(matches!(group.get(at(1), id(1), &pays(Projection::All, vec![])), Err(Error::TooLarge(_))));
    let stored = group.get(at(1), id(1), &pays(Projection::None, vec![VECTOR])).unwrap().expect("the object");
    assert_eq!(stored.object.vectors[&VECTOR], Vector::Single(vec![1.0, 1.0, 0.5]));
}
