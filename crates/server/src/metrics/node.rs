//! Metrics of the node: its disk, the log, and each group with the label `group`. docs/metrics.md lists them.

use azimuth_engine::data::GroupMetrics;
use azimuth_engine::ids::GroupId;
use azimuth_raft::{COMMANDS_BOUNDS, TIME_BOUNDS_US};

use super::families::Families;
use crate::app::{App, NodeMetrics};

const MICROSECONDS: f64 = 1e6;

/// Adds the metrics of the application's node, as far as it has started.
pub(super) fn read(families: &mut Families, app: &App) {
    families.gauge("azimuth_ready", "1 when queries are answered.", f64::from(u8::from(app.is_ready())));
    if let Ok(node) = app.metrics() {
        shared(families, &node);
        node.data.iter().for_each(|(id, group)| data(families, *id, group));
        node.replicas.iter().for_each(|(id, group)| raft(families, *id, group));
    }
    replays(families, app);
}

/// The part that all groups of the node share.
fn shared(families: &mut Families, node: &NodeMetrics) {
    families.no_label();
    let NodeMetrics { disk, log, .. } = node;
    let help = "Percent of the disk in use, of the part that a user may have.";
    families.gauge("azimuth_disk_used_percent", help, disk.used_percent.into());
    let help = "1 while writes are refused because the disk is full.";
    families.gauge("azimuth_writes_refused", help, f64::from(u8::from(disk.refuses())));
    let Some((_, group)) = node.data.first() else { return };
    let help = "Bytes that the vector indexes of all groups may hold in memory.";
    families.count("azimuth_vector_index_bytes_max", help, group.index_bytes_max);
    let help = "Bytes in the write buffers of RocksDB.";
    families.count("azimuth_write_buffer_bytes", help, group.write_buffer_bytes);
    families.count("azimuth_block_cache_bytes", "Bytes in the block cache of RocksDB.", group.block_cache_bytes);
    families.count("azimuth_raft_log_bytes", "Bytes of the log of all groups on the disk.", log.bytes);
    let help = "Seconds of each fsync of the log.";
    let syncs = (&log.flushes.sync_us, &TIME_BOUNDS_US);
    families.histogram("azimuth_raft_log_fsync_seconds", help, syncs, MICROSECONDS);
    let help = "Changes of the log that were made durable: appends, votes, purges.";
    families.counter("azimuth_raft_log_writes_total", help, log.flushes.requests as f64);
    let help = "Entries that were made durable.";
    families.counter("azimuth_raft_log_entries_total", help, log.flushes.entries as f64);
}

/// A group of objects.
fn data(families: &mut Families, id: GroupId, group: &GroupMetrics) {
    families.label("group", &id);
    families.count("azimuth_collections", "Collections.", group.collections);
    families.count("azimuth_shards_loaded", "Shards whose state is in memory.", group.shards_loaded);
    families.count("azimuth_objects", "Objects of the shards in memory.", group.objects);
    families.count("azimuth_vector_queue", "Vectors that wait to be linked into a graph.", group.vector_queue);
    families.count("azimuth_vector_indexes_loaded", "Vector indexes in memory.", group.indexes_loaded);
    families.count("azimuth_disk_bytes", "Bytes of tables and blobs on the disk.", group.disk_bytes);
    let help = "Shards whose inverted index stayed damaged after several rebuilds.";
    families.count("azimuth_inverted_indexes_damaged", help, group.inverted_damaged);
    let help = "Rebuilds of damaged inverted indexes.";
    families.counter("azimuth_inverted_rebuilds_total", help, group.inverted_rebuilds as f64);
    families.counter("azimuth_commands_applied_total", "Commands applied.", group.commands_applied as f64);
    families.counter("azimuth_entries_applied_total", "Entries of the log applied.", group.entries_applied as f64);
    let help = "Objects that cannot be decoded, as far as they were read.";
    families.count("azimuth_objects_unreadable", help, group.objects_unreadable);
    let help = "Failures of vector indexes; each index was rebuilt.";
    families.counter("azimuth_vector_index_failures_total", help, group.index_failures as f64);
    let help = "Commands refused because they could not be carried out: faults of this program.";
    families.counter("azimuth_commands_contained_total", help, group.commands_contained as f64);
    for (part, bytes) in group.index_memory.parts() {
        families.also_label("part", part);
        families.count("azimuth_vector_index_bytes", "Bytes of the vector indexes in memory, by part.", bytes);
    }
}

/// The replica of a group on this node.
fn raft(families: &mut Families, id: GroupId, metrics: &azimuth_raft::GroupMetrics) {
    families.label("group", &id);
    families.count("azimuth_raft_term", "Raft term.", metrics.term);
    families.gauge("azimuth_raft_leader", "1 if this node leads the group.", f64::from(u8::from(metrics.leader)));
    families.count("azimuth_raft_feature_level", "Feature level of the group.", metrics.level.number().into());
    let indexes = [
        ("azimuth_raft_last_log_index", "Index of the last entry in the log.", metrics.last_index),
        ("azimuth_raft_committed_index", "Index of the last entry known to be committed.", metrics.committed_index),
        ("azimuth_raft_applied_index", "Index of the last entry applied.", metrics.applied_index),
        ("azimuth_raft_durable_index", "Index of the last entry whose effect is durable.", metrics.durable_index),
        ("azimuth_raft_purged_index", "Index of the last entry purged from the log.", metrics.purged_index),
    ];
    for (name, help, index) in indexes {
        families.count(name, help, index.unwrap_or_default());
    }
    // A leader without followers has no such age.
    let age_ms = metrics.quorum_ack_age_ms.unwrap_or_default();
    let help = "Seconds since a quorum of members answered this leader; 0 on other nodes.";
    families.gauge("azimuth_raft_quorum_ack_age_seconds", help, age_ms as f64 / 1e3);
    let help = "Bytes of commands that wait to be proposed or applied.";
    families.count("azimuth_raft_proposal_queue_bytes", help, metrics.queue_bytes);
    let help = "Bytes of commands that may wait.";
    families.count("azimuth_raft_proposal_queue_bytes_max", help, metrics.queue_bytes_max);
    let help = "Proposals refused because the queue stayed full.";
    families.counter("azimuth_raft_proposals_overloaded_total", help, metrics.overloaded as f64);
    let help = "Proposals without a known result in time.";
    families.counter("azimuth_raft_proposals_unknown_total", help, metrics.unknown as f64);
    let commands = (&metrics.entry_commands, &COMMANDS_BOUNDS);
    families.histogram("azimuth_raft_entry_commands", "Commands per proposed entry.", commands, 1.0);
    let snapshots = &metrics.snapshots;
    let times = [
        ("azimuth_raft_entry_seconds", "Seconds from the proposal of an entry until it is applied.", &metrics.entry_us),
        ("azimuth_raft_apply_seconds", "Seconds of each apply of one or more entries.", &metrics.apply_us),
        ("azimuth_raft_snapshot_build_seconds", "Seconds of each build of a snapshot.", &snapshots.build_us),
        ("azimuth_raft_snapshot_install_seconds", "Seconds of each install of a snapshot.", &snapshots.install_us),
    ];
    for (name, help, times) in times {
        families.histogram(name, help, (times, &TIME_BOUNDS_US), MICROSECONDS);
    }
    families.count("azimuth_raft_snapshot_bytes", "Bytes of the current snapshot.", snapshots.bytes);
    let help = "Bytes of the snapshots of other nodes that were installed.";
    families.counter("azimuth_raft_snapshot_installed_bytes_total", help, snapshots.bytes_installed as f64);
    let help = "Snapshots that could not be built.";
    families.counter("azimuth_raft_snapshot_failures_total", help, snapshots.failed as f64);
}

/// Entries that the start of the node has yet to apply.
fn replays(families: &mut Families, app: &App) {
    for replay in app.progress().replays {
        families.label("group", &replay.group);
        let left = replay.last_index.saturating_sub(replay.applied_index);
        families.count("azimuth_replay_entries_left", "Entries of the log that the start has yet to apply.", left);
    }
}
