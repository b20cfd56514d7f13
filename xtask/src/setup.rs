//! What a machine needs before anything is built: the pinned Rust, system packages, RocksDB, Python and npm environments,
//! lint tools.
//!
//! Every step looks first and does nothing when its result is there, so a warm set-up takes well under a second.

use crate::local_config::LocalConfig;
use crate::system::Need;
use crate::{Failure, cargo, node, prebuilt, python, system, toolchain, tools};
use std::path::{Path, PathBuf};

/// The environments that the tests use.
pub(crate) struct TestEnvironments {
    pub(crate) python_v4: PathBuf,
}

/// Ready to compile.
pub(crate) fn build(root: &Path) -> Result<(), Failure> {
    toolchain::check(root)?;
    system::ensure(Need::Build)?;
    build_rocksdb(root)?;
    write_config(root)
}

/// Ready to compile and to run the demo; gives the demo's Python.
pub(crate) fn demo(root: &Path) -> Result<PathBuf, Failure> {
    toolchain::check(root)?;
    system::ensure(Need::Demo)?;
    let python = beside_rocksdb(root, || python::DEMO.python(root))?;
    write_config(root)?;
    Ok(python)
}

/// Ready for every test and lint.
pub(crate) fn everything(root: &Path) -> Result<TestEnvironments, Failure> {
    toolchain::check(root)?;
    system::ensure(Need::Tests)?;
    let environments = beside_rocksdb(root, || {
        let python_v4 = python::V4.python(root)?;
        python::V3.python(root)?;
        python::DEMO.python(root)?;
        node::modules(root)?;
        tools::deny(root)?;
        tools::machete()?;
        Ok(TestEnvironments { python_v4 })
    })?;
    write_config(root)?;
    Ok(environments)
}

/// Installs packages, which waits for the network, while RocksDB keeps the processors busy.
fn beside_rocksdb<T: Send>(root: &Path, install: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let installing = scope.spawn(|| install().map_err(|failure| failure.to_string()));
        let built = build_rocksdb(root);
        let installed = installing.join().map_err(|_| "the installing thread panicked")?;
        built?;
        installed.map_err(Failure::from)
    })
}

/// Builds RocksDB unless the user chose a library of their own by `ROCKSDB_LIB_DIR`.
fn build_rocksdb(root: &Path) -> Result<(), Failure> {
    if cargo::prebuilt_rocksdb_is_ours() {
        prebuilt::rocksdb(root)?;
    }
    Ok(())
}

fn write_config(root: &Path) -> Result<(), Failure> {
    let mut config = LocalConfig::default();
    if cargo::prebuilt_rocksdb_is_ours() {
        config.set("ROCKSDB_LIB_DIR", prebuilt::rocksdb(root)?.to_string_lossy());
        config.set("ROCKSDB_STATIC", "1");
    }
    for (name, path) in [
        ("AZIMUTH_PYTHON_V4", python::V4.installed(root)),
        ("AZIMUTH_PYTHON_V3", python::V3.installed(root)),
        ("AZIMUTH_PYTHON_DEMO", python::DEMO.installed(root)),
        ("AZIMUTH_NODE_MODULES", node::installed(root)),
    ] {
        if let Some(path) = path {
            config.set(name, path.to_string_lossy());
        }
    }
    config.write(root)
}
