//! A whole node on the engine's groups.

use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::ids::CollectionId;

use crate::{Node, NodeOptions};

#[tokio::test(flavor = "multi_thread")]
async fn starts_alone_writes_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(NodeOptions::new(dir.path())).await.unwrap();
    node.ready().await;
    let identity = node.identity();
    let outcome = node.data().propose(vec![Command::DropCollection(CollectionId(7))]).await.unwrap();
    assert_eq!(outcome, [Outcome::Done]);
    let outcome = node.meta().propose(vec![Command::DeleteCollection(CollectionId(7))]).await.unwrap();
    assert_eq!(outcome, [Outcome::NotFound]);
    node.data().read_barrier().await.unwrap();
    node.shutdown().await.unwrap();
    drop(node);

    let node = Node::start(NodeOptions::new(dir.path())).await.unwrap();
    assert_eq!(node.identity(), identity);
    assert_eq!(node.progress().borrow().replay_entries, 0, "a clean stop leaves nothing to replay");
    node.ready().await;
    node.meta().read_barrier().await.unwrap();
    node.shutdown().await.unwrap();
}
