//! What a new tenant costs while its collection grows, applied in process by both kinds of groups.
//!
//! `cargo bench -p azimuth-benches --bench tenants [-- --tenants 100000 --each 1000]`
//!
//! Each tenant is an entry of its own, so that nothing is shared between two of them. The tables below compare the first
//! and the last tenants: the cost must not depend on how many there are. Then all tenants of a second collection are created
//! in batches, and both groups are opened again: start, listing and memory with all tenants, of which few are in use.

#![allow(clippy::print_stdout, reason = "a bench talks to its reader")]

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use azimuth_benches::clock::{Clock, anonymous_bytes};
use azimuth_engine::command::{Command, NewShard, Outcome, PutMode};
use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::ids::{GroupId, ShardKey};
use azimuth_engine::maintain::WorkBudget;
use azimuth_engine::meta::MetaGroup;
use azimuth_engine::object::{Object, Properties, Vectors};
use azimuth_engine::replica::{Batch, Entry, EntryBody, LogPosition, StateMachine};
use azimuth_engine::schema::{Collection, MultiTenancy, Shard, TenantStatus};
use azimuth_engine::storage::StorageBudget;
use clap::Parser;
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn StdError + Send + Sync>>;

/// Options of a run.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Tenants to create.
    #[arg(long, default_value_t = 100_000)]
    tenants: usize,
    /// Tenants of a row of the table.
    #[arg(long, default_value_t = 1_000)]
    each: usize,
    /// Set by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir()?;
    let (meta, _) = MetaGroup::open(&folder.path().join("meta"), GroupId::META, &StorageBudget::default())?;
    let (data, _) = DataGroup::open(&folder.path().join("data"), GroupOptions::new(GroupId::FIRST_DATA))?;
    let tenancy = MultiTenancy { enabled: true, ..MultiTenancy::default() };
    let schema = Collection { name: "Many".into(), multi_tenancy: tenancy, ..Collection::default() };
    let created = apply(&meta, vec![Command::CreateSharded { collection: Box::new(schema), shards: Vec::new() }])?;
    let Some(Outcome::Created { collection, .. }) = created.into_iter().next() else {
        return Err("no collection".into());
    };
    apply(&data, vec![Command::PutCollection(collection.clone())])?;

    let before = anonymous_bytes();
    let mut rows: Vec<Row> = Vec::new();
    for first in (0..options.tenants).step_by(options.each) {
        let row = Row::measure(&meta, &data, &collection, first..(first + options.each).min(options.tenants))?;
        if first == 0 || first + options.each >= options.tenants || (first / options.each).is_multiple_of(10) {
            row.print();
        }
        rows.push(row);
    }
    let shards = data.shards(collection.id).len();
    let bytes = (anonymous_bytes().saturating_sub(before)) / shards.max(1) as u64;
    println!("\n{shards} tenants, {bytes} bytes of memory each in both groups (memtables and loaded shards included)");
    compare(&rows);
    in_batches(&meta, &data, options.tenants)?;
    deactivate(&data, &collection)?;
    meta.flush()?;
    data.flush()?;
    drop((meta, data));
    open_again(folder.path(), &collection)
}

/// Creates the tenants of another collection, a thousand with each command.
fn in_batches(meta: &Arc<MetaGroup>, data: &Arc<DataGroup>, tenants: usize) -> Result<()> {
    let tenancy = MultiTenancy { enabled: true, ..MultiTenancy::default() };
    let schema = Collection { name: "Batched".into(), multi_tenancy: tenancy, ..Collection::default() };
    let created = apply(meta, vec![Command::CreateSharded { collection: Box::new(schema), shards: Vec::new() }])?;
    let Some(Outcome::Created { collection, .. }) = created.into_iter().next() else {
        return Err("no collection".into());
    };
    let id = collection.id;
    apply(data, vec![Command::PutCollection(collection)])?;
    let clock = Clock::start();
    let names: Vec<String> = (0..tenants).map(name).collect();
    for names in names.chunks(1_000) {
        let new =
            |name: &String| NewShard { name: name.clone(), group: GroupId::FIRST_DATA, status: TenantStatus::Hot };
        let command = Command::CreateShards { collection: id, shards: names.iter().map(new).collect() };
        let Some(Outcome::Shards(shards)) = apply(meta, vec![command])?.into_iter().next() else {
            return Err("no shards".into());
        };
        apply(data, vec![Command::PutShards { collection: id, shards }])?;
    }
    let each = clock.elapsed().cpu.as_secs_f64() * 1e6 / tenants.max(1) as f64;
    println!("\n{tenants} tenants in batches of 1,000: {each:.1} us of processor time each, in both groups together");
    Ok(())
}

/// Makes all tenants inactive; those in memory leave.
fn deactivate(data: &Arc<DataGroup>, collection: &Collection) -> Result<()> {
    let before = data.metrics().shards_loaded;
    let shards = data.shards(collection.id);
    let cold =
        |shard: &Arc<Shard>| Shard { status: TenantStatus::Cold, version: shard.version + 1, ..Shard::clone(shard) };
    let cold: Vec<Shard> = shards.iter_by_id().map(cold).collect();
    let clock = Clock::start();
    for shards in cold.chunks(100) {
        apply(data, vec![Command::PutShards { collection: collection.id, shards: shards.to_vec() }])?;
    }
    while data.work(&WorkBudget::default())?.more {}
    let each = clock.elapsed().cpu.as_secs_f64() * 1e6 / cold.len().max(1) as f64;
    let after = data.metrics().shards_loaded;
    println!(
        "{} tenants made inactive: {each:.1} us each in the data group; {before} were in memory, {after} are",
        cold.len()
    );
    Ok(())
}

/// The start with all tenants, their memory, and a list of them.
fn open_again(folder: &std::path::Path, collection: &Collection) -> Result<()> {
    let before = anonymous_bytes();
    let clock = Clock::start();
    let (meta, _) = MetaGroup::open(&folder.join("meta"), GroupId::META, &StorageBudget::default())?;
    let (data, _) = DataGroup::open(&folder.join("data"), GroupOptions::new(GroupId::FIRST_DATA))?;
    let opened = clock.elapsed();
    let grown = anonymous_bytes().saturating_sub(before);
    let clock = Clock::start();
    while data.work(&WorkBudget::default())?.more {}
    let worked = clock.elapsed();
    let catalog = meta.catalog();
    let clock = Clock::start();
    let bytes: usize = catalog.shards(collection.id).iter().map(|shard| shard.name.len()).sum();
    let listed = clock.elapsed();
    let tenants: usize = catalog.collections().iter().map(|known| catalog.shards(known.id).len()).sum();
    println!(
        "\nstart with {tenants} tenants: {:.0} ms until open, {:.0} ms of background work, {} MiB, {} shards in memory; list \
         of one collection: {:.1} ms ({bytes} bytes of names)",
        opened.wall.as_secs_f64() * 1e3,
        worked.wall.as_secs_f64() * 1e3,
        grown >> 20,
        data.metrics().shards_loaded,
        listed.wall.as_secs_f64() * 1e3,
    );
    Ok(())
}

/// The times of some tenants, summed up.
struct Row {
    first: usize,
    count: u32,
    /// Creation in the meta group.
    create: Duration,
    /// The same in the data group.
    put: Duration,
    /// The first object of the tenant.
    write: Duration,
    /// A thousand look-ups by name and by id.
    find: Duration,
}

impl Row {
    fn measure(
        meta: &Arc<MetaGroup>,
        data: &Arc<DataGroup>,
        collection: &Collection,
        tenants: std::ops::Range<usize>,
    ) -> Result<Self> {
        let id = collection.id;
        let (first, count) = (tenants.start, u32::try_from(tenants.len())?);
        let mut row = Self {
            first,
            count,
            create: Duration::ZERO,
            put: Duration::ZERO,
            write: Duration::ZERO,
            find: Duration::ZERO,
        };
        for n in tenants.clone() {
            let new = NewShard { name: name(n), group: GroupId::FIRST_DATA, status: TenantStatus::Hot };
            let clock = Clock::start();
            let outcomes = apply(meta, vec![Command::CreateShards { collection: id, shards: vec![new] }])?;
            row.create += clock.elapsed().cpu;
            let Some(Outcome::Shards(shards)) = outcomes.into_iter().next() else { return Err("no shard".into()) };
            let clock = Clock::start();
            apply(data, vec![Command::PutShards { collection: id, shards: shards.clone() }])?;
            row.put += clock.elapsed().cpu;
            // Loaded shards take memory of their own: one in ten gets an object.
            if let Some(shard) = shards.first().filter(|_| n.is_multiple_of(10)) {
                let clock = Clock::start();
                apply(data, vec![object(ShardKey { collection: id, shard: shard.id })])?;
                row.write += clock.elapsed().cpu * 10;
            }
        }
        let catalog = meta.catalog();
        let names: Vec<String> = tenants.map(name).collect();
        let clock = Clock::start();
        let found: Vec<&Arc<Shard>> =
            names.iter().cycle().take(1_000).filter_map(|name| catalog.shards(id).get(name)).collect();
        let known = found.iter().filter(|shard| data.knows(ShardKey { collection: id, shard: shard.id })).count();
        row.find = clock.elapsed().cpu;
        assert_eq!(known, 1_000, "every tenant is found");
        Ok(row)
    }

    fn each_us(&self) -> [f64; 4] {
        let each = |time: Duration, count: u32| time.as_secs_f64() * 1e6 / f64::from(count);
        [
            each(self.create, self.count),
            each(self.put, self.count),
            each(self.write, self.count),
            each(self.find, 1_000),
        ]
    }

    fn print(&self) {
        if self.first == 0 {
            println!("Microseconds of processor time a tenant:\n");
            println!("| tenants before | create (meta) | make known (data) | first object | find by name and id |");
            println!("| --- | --- | --- | --- | --- |");
        }
        let [create, put, write, find] = self.each_us();
        println!("| {} | {create:.1} | {put:.1} | {write:.1} | {find:.2} |", self.first);
    }
}

/// Medians of the first and the last tenth: of single rows, a flush or a compaction decides.
fn compare(rows: &[Row]) {
    let tenth = (rows.len() / 10).max(1);
    let median = |rows: &[Row], column: usize| {
        let mut all: Vec<f64> = rows.iter().map(|row| row.each_us()[column]).collect();
        all.sort_unstable_by(f64::total_cmp);
        all[all.len() / 2]
    };
    println!("\n| median | first tenth | last tenth | ratio |\n| --- | --- | --- | --- |");
    for (column, what) in ["create (meta)", "make known (data)", "first object", "find"].into_iter().enumerate() {
        let (first, last) = (median(&rows[..tenth], column), median(&rows[rows.len() - tenth..], column));
        println!("| {what} | {first:.2} us | {last:.2} us | {:.2} |", last / first);
    }
}

fn name(n: usize) -> String {
    // Names that do not ascend with the ids.
    format!("tenant-{:08x}", (n as u32).wrapping_mul(0x9e37_79b1))
}

fn object(at: ShardKey) -> Command {
    let object = Object {
        id: Uuid::from_u128(1),
        created_ms: 1,
        updated_ms: 1,
        properties: Properties::new(),
        vectors: Vectors::default(),
    };
    Command::Put { at, mode: PutMode::Upsert, object: Box::new(object) }
}

fn apply<S: StateMachine>(group: &Arc<S>, commands: Vec<Command>) -> Result<Vec<Outcome>> {
    let index = group.applied()?.position.map_or(0, |position| position.index) + 1;
    let body = EntryBody::Batch(Batch { proposer: 1, sequence: index, commands });
    Ok(group.apply(vec![Entry { position: LogPosition { term: 1, node: 1, index }, body }])?.remove(0))
}
