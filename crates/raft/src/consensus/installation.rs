//! The install of a snapshot, as the log and the state machine of a group see it together.
//!
//! openraft 0.9 hands a snapshot to the task of the state machine and at once purges the log up to it. The log may
//! lose these entries only when the snapshot is the durable state, and entries behind them may be acknowledged only
//! then. So the log notes the purge, and waits with it, and with the next change of the log, for the state machine.
//!
//! Order on the disk: the note in the log that an install has begun; the new state, by one rename; the purge, which
//! takes the note away in the same write. After a crash [`recovery`](crate::recovery) finishes the install or takes the
//! note back.

use std::sync::Arc;

use azimuth_engine::replica::LogPosition;
use tokio::sync::watch;

#[derive(Debug, Default)]
struct Status {
    /// The snapshot that was handed to openraft.
    expected: Option<LogPosition>,
    /// The last snapshot that is the durable state.
    installed: Option<LogPosition>,
    /// Why the state machine has ended. It installs nothing afterwards.
    failed: Option<String>,
}

/// A point at which a crash must leave a state that can be started from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The snapshot is on the disk whole.
    Begun,
    /// The log says that an install has begun.
    Noted,
    /// The new state is on the disk and serves reads.
    Replaced,
    /// It is this node's snapshot, too.
    Built,
    /// The log is purged up to it.
    Purged,
}

/// The state of installs of a group. Clones share it.
#[derive(Clone)]
pub(crate) struct Installation {
    status: Arc<watch::Sender<Status>>,
    #[cfg(test)]
    hook: Arc<Hook>,
}

/// Called at each step, in tests.
#[cfg(test)]
#[derive(Default)]
struct Hook(parking_lot::Mutex<Option<OnStep>>);

#[cfg(test)]
type OnStep = Box<dyn FnMut(Step) + Send>;

/// A snapshot that was handed to openraft. While it lives, the log may be purged up to the snapshot, after the install.
pub(crate) struct Expected(Installation);

impl Installation {
    /// Nothing is installed.
    pub(crate) fn new() -> Self {
        Self {
            status: Arc::new(watch::channel(Status::default()).0),
            #[cfg(test)]
            hook: Arc::default(),
        }
    }

    /// Marks a step, for tests of crashes.
    pub(crate) fn at(&self, step: Step) {
        tracing::debug!(?step, "install of a snapshot");
        #[cfg(test)]
        if let Some(hook) = &mut *self.hook.0.lock() {
            hook(step);
        }
    }

    /// Calls `hook` at each step from now on.
    #[cfg(test)]
    pub(crate) fn on_step(&self, hook: impl FnMut(Step) + Send + 'static) {
        *self.hook.0.lock() = Some(Box::new(hook));
    }

    /// Announces a snapshot before it is handed to openraft.
    pub(crate) fn expect(&self, position: LogPosition) -> Expected {
        self.status.send_modify(|status| status.expected = status.expected.max(Some(position)));
        Expected(self.clone())
    }

    /// Whether a snapshot was announced that holds the entry.
    pub(crate) fn covers(&self, position: LogPosition) -> bool {
        self.status.borrow().expected >= Some(position)
    }

    /// The snapshot is the durable state.
    pub(crate) fn installed(&self, position: LogPosition) {
        self.status.send_modify(|status| status.installed = status.installed.max(Some(position)));
    }

    /// The state machine has ended.
    pub(crate) fn failed(&self, reason: &dyn ToString) {
        self.status.send_modify(|status| status.failed = status.failed.take().or_else(|| Some(reason.to_string())));
    }

    /// Waits until a snapshot that holds the entry is the durable state.
    ///
    /// # Errors
    /// Why that will never be.
    pub(crate) async fn wait(&self, position: LogPosition) -> Result<(), String> {
        let mut status = self.status.subscribe();
        let over = |status: &Status| status.installed >= Some(position) || status.failed.is_some();
        match status.wait_for(over).await {
            Ok(status) if status.installed >= Some(position) => Ok(()),
            Ok(status) => Err(status.failed.clone().unwrap_or_default()),
            Err(closed) => Err(closed.to_string()),
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.0.status.send_modify(|status| status.expected = None);
    }
}
