//! The crate `hnsw_rs`.

use azimuth_engine::vector::Distance;
use hnsw_rs::prelude::{AnnT, DistDot, DistL2, Hnsw};

use super::{Built, Engine, Graph, Pass, pass_here};
use crate::ann::{AnnSet, K};
use crate::clock::{Clock, anonymous_bytes};

/// It, with the distances that it brings.
pub struct HnswRs {
    graph: Graph,
    index: Option<Index>,
}

enum Index {
    Dot(Hnsw<'static, f32, DistDot>),
    L2(Hnsw<'static, f32, DistL2>),
}

impl HnswRs {
    /// Not built yet.
    #[must_use]
    pub fn new(graph: Graph) -> Self {
        Self { graph, index: None }
    }
}

impl Engine for HnswRs {
    fn name(&self) -> &'static str {
        "hnsw_rs"
    }

    fn build(&mut self, set: &AnnSet) -> Result<Built, String> {
        let Graph { m, ef_construction } = self.graph;
        let rows: Vec<Vec<f32>> = set.rows().map(<[f32]>::to_vec).collect();
        let numbered: Vec<(&Vec<f32>, usize)> = rows.iter().zip(0..).collect();
        let before = anonymous_bytes();
        let clock = Clock::start();
        let index = if set.distance == Distance::L2Squared {
            let mut index = Hnsw::new(m, rows.len(), 16, ef_construction, DistL2 {});
            index.parallel_insert_data(&numbered);
            index.set_searching_mode(true);
            Index::L2(index)
        } else {
            let mut index = Hnsw::new(m, rows.len(), 16, ef_construction, DistDot {});
            index.parallel_insert_data(&numbered);
            index.set_searching_mode(true);
            Index::Dot(index)
        };
        let elapsed = clock.elapsed();
        self.index = Some(index);
        let bytes = anonymous_bytes().saturating_sub(before);
        Ok(Built { wall: elapsed.wall.as_secs_f64(), cpu: elapsed.cpu.as_secs_f64(), bytes })
    }

    fn search(&mut self, set: &AnnSet, ef: usize) -> Result<Pass, String> {
        let index = self.index.as_ref().ok_or("not built")?;
        Ok(pass_here(set, |query| {
            let hits = match index {
                Index::Dot(index) => index.search_neighbours(query, K, ef),
                Index::L2(index) => index.search_neighbours(query, K, ef),
            };
            hits.iter().map(|hit| u32::try_from(hit.d_id).expect("a row")).collect()
        }))
    }
}
