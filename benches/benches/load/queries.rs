//! The steps that send queries, and the rates that they measure.

use std::time::Duration;

use azimuth_benches::corpus::{Corpus, K, recall};
use azimuth_benches::filters::{FilterCase, filter_cases};
use azimuth_benches::in_process;
use azimuth_benches::meter::{Rate, measure, median};
use azimuth_benches::server::Server;
use azimuth_benches::table::{self, time};
use azimuth_client::Query;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Bench, Better, NAME, Outcome};

impl Bench {
    pub(crate) fn queries(&mut self, server: &Server, exact: &[Vec<usize>]) -> Outcome<()> {
        let clients = self.options.clients;
        let peers = [("199-304/s, recall .998", "406/s, recall .989"), ("526-753/s", "")];
        for (clients, peers) in [1, clients].into_iter().zip(peers) {
            self.whole_objects(server, exact, clients, peers)?;
        }
        for clients in [1, clients] {
            self.ids_only(server, exact, clients)?;
        }
        self.on_the_way(server, exact)?;
        for clients in [1, clients] {
            self.over_graphql(server, exact, clients)?;
        }
        self.many_a_call(server, exact)?;
        self.limits(server, exact)
    }

    pub(crate) fn whole_objects(
        &mut self,
        server: &Server,
        exact: &[Vec<usize>],
        clients: usize,
        (weaviate, milvus): (&str, &str),
    ) -> Outcome<()> {
        let rate = self.grpc_rate(server, clients, exact, |vector| Query::near_vector(vector))?;
        self.add_rate(&format!("queries over gRPC, all properties, {clients} client(s)"), &rate, weaviate, milvus);
        Ok(())
    }

    pub(crate) fn ids_only(&mut self, server: &Server, exact: &[Vec<usize>], clients: usize) -> Outcome<()> {
        let query = |vector: &[f32]| Query::near_vector(vector).properties(Vec::<String>::new());
        let rate = self.grpc_rate(server, clients, exact, query)?;
        self.add_rate(&format!("queries over gRPC, ids only, {clients} client(s)"), &rate, "", "");
        Ok(())
    }

    pub(crate) fn over_graphql(&mut self, server: &Server, exact: &[Vec<usize>], clients: usize) -> Outcome<()> {
        let rate = self.graphql_rate(server, clients, exact)?;
        self.add_rate(&format!("queries over GraphQL, text + id, {clients} client(s)"), &rate, "", "");
        Ok(())
    }

    /// Queries of one client over its one connection, as many on the way as there are clients else; the rate is of queries.
    pub(crate) fn on_the_way(&mut self, server: &Server, exact: &[Vec<usize>]) -> Outcome<()> {
        const IN_A_ROW: usize = 256;
        let (at_once, corpus) = (self.options.clients, &self.corpus);
        let rate = self.median_rate(1, || {
            let collection = server.client()?.collection(NAME)?;
            Ok(move |row: usize| {
                let collection = collection.clone();
                let one = move |number: usize| {
                    let collection = collection.clone();
                    let query = Query::near_vector(corpus.queries.row(number)).properties(Vec::<String>::new());
                    async move {
                        let hits = collection.search(query.limit(K as u32)).await?;
                        let found: Vec<usize> = hits.iter().map(|hit| Corpus::index(hit.object.id)).collect();
                        Outcome::Ok(recall(&found, &exact[number]))
                    }
                };
                let numbers = (0..IN_A_ROW).map(move |i| (row * IN_A_ROW + i) % exact.len());
                let recalls = stream::iter(numbers).map(one).buffer_unordered(at_once);
                recalls.try_fold(0.0, async |sum, recall| Ok(sum + recall / IN_A_ROW as f64))
            })
        })?;
        let ours = format!("{:.0}/s, recall {:.4}", rate.per_second * IN_A_ROW as f64, rate.mean);
        let what = format!("queries over gRPC, ids only, 1 client, {at_once} on the way");
        self.table.add(&what, &ours, "", "");
        self.figure(&what, rate.per_second * IN_A_ROW as f64, Better::Higher);
        Ok(())
    }

    /// Queries of one client, many in a call; the rate is of queries.
    pub(crate) fn many_a_call(&mut self, server: &Server, exact: &[Vec<usize>]) -> Outcome<()> {
        const IN_A_CALL: usize = 32;
        let vectors = &self.corpus.queries;
        let mut rate = self.median_rate(1, || {
            let collection = server.client()?.collection(NAME)?;
            Ok(move |call: usize| {
                let collection = collection.clone();
                let numbers: Vec<usize> = (0..IN_A_CALL).map(|n| (call * IN_A_CALL + n) % exact.len()).collect();
                let query = |number: &usize| Query::near_vector(vectors.row(*number)).limit(K as u32);
                let queries: Vec<Query> =
                    numbers.iter().map(query).map(|query| query.properties(Vec::<String>::new())).collect();
                async move {
                    let mut sum = 0.0;
                    for (hits, number) in collection.search_many(queries).await?.into_iter().zip(numbers) {
                        let found: Vec<usize> = hits?.iter().map(|hit| Corpus::index(hit.object.id)).collect();
                        sum += recall(&found, &exact[number]);
                    }
                    Ok(sum / IN_A_CALL as f64)
                }
            })
        })?;
        rate.per_second *= IN_A_CALL as f64;
        self.add_rate(&format!("queries over gRPC, ids only, {IN_A_CALL} a call, 1 client"), &rate, "", "");
        Ok(())
    }

    /// Measures the bounds of one client: calls that do nothing, and the same queries without a server.
    fn limits(&mut self, server: &Server, exact: &[Vec<usize>]) -> Outcome<()> {
        let calls = self.median_rate(1, || {
            let client = server.client()?;
            Ok(move |_| {
                let client = client.clone();
                async move { Ok(f64::from(u8::from(client.is_serving_grpc().await))) }
            })
        })?;
        let ours = format!("{:.0}/s, p50 {}, p99 {}", calls.per_second, time(calls.p50), time(calls.p99));
        self.table.add("health checks over gRPC, 1 client", &ours, "", "");
        let span = Duration::from_secs(self.options.seconds.max(1));
        let rate = in_process::rate(&self.corpus, exact, self.options.runs, span)?;
        self.table.add("the same queries in process, one thread", &table::rate(&rate), "", "");
        Ok(())
    }

    pub(crate) fn filtered_queries(&mut self, server: &Server) -> Outcome<()> {
        for FilterCase { share, admit, filter, weaviate, milvus } in filter_cases() {
            let exact = self.corpus.exact(admit);
            let mut cells = Vec::new();
            for clients in [1, self.options.clients] {
                let filter = filter.clone();
                let query = move |vector: &[f32]| Query::near_vector(vector).filter(filter.clone());
                let rate = self.grpc_rate(server, clients, &exact, query)?;
                cells.push(table::rate(&rate));
                self.figure(&format!("filtered {share}, {clients} client(s)"), rate.per_second, Better::Higher);
            }
            let what = format!("filtered {share} over gRPC, 1; {} clients", self.options.clients);
            self.table.add(&what, &cells.join("; "), weaviate, milvus);
        }
        Ok(())
    }

    /// The median rate of `query` for every query vector in turn, with its recall.
    fn grpc_rate(
        &self,
        server: &Server,
        clients: usize,
        exact: &[Vec<usize>],
        query: impl Fn(&[f32]) -> Query + Sync,
    ) -> Outcome<Rate> {
        self.median_rate(clients, || {
            let collection = server.client()?.collection(NAME)?;
            let query = &query;
            Ok(move |number: usize| {
                let (collection, number) = (collection.clone(), number % exact.len());
                let query = query(self.corpus.queries.row(number)).limit(K as u32);
                async move {
                    let hits = collection.search(query).await?;
                    let found: Vec<usize> = hits.iter().map(|hit| Corpus::index(hit.object.id)).collect();
                    Ok(recall(&found, &exact[number]))
                }
            })
        })
    }

    fn graphql_rate(&self, server: &Server, clients: usize, exact: &[Vec<usize>]) -> Outcome<Rate> {
        let texts: Vec<String> = (0..self.corpus.queries.len()).map(|number| self.graphql(number)).collect();
        let texts = &texts;
        self.median_rate(clients, || {
            let client = server.client()?;
            Ok(move |number: usize| {
                let (client, number) = (client.clone(), number % texts.len());
                async move {
                    let data = client.graphql(&texts[number]).await?;
                    let hits = data["Get"][NAME].as_array().map(Vec::as_slice).unwrap_or_default();
                    let found: Vec<usize> = hits
                        .iter()
                        .filter_map(|hit| hit["_additional"]["id"].as_str()?.parse().ok().map(Corpus::index))
                        .collect();
                    Ok(recall(&found, &exact[number]))
                }
            })
        })
    }

    fn median_rate<S, C, F>(&self, clients: usize, connect: S) -> Outcome<Rate>
    where
        S: Fn() -> Outcome<C> + Sync,
        C: Fn(usize) -> F,
        F: Future<Output = Outcome<f64>>,
    {
        let span = Duration::from_secs(self.options.seconds.max(1));
        let runs = (0..self.options.runs.max(1)).map(|_| measure(clients, span, &connect)).collect::<Outcome<_>>()?;
        Ok(median(runs))
    }

    fn graphql(&self, number: usize) -> String {
        let vector: Vec<String> = self.corpus.queries.row(number).iter().map(ToString::to_string).collect();
        format!(
            "{{ Get {{ {NAME}(limit: {K}, nearVector: {{vector: [{}]}}) {{ text _additional {{ id distance }} }} }} }}",
            vector.join(", ")
        )
    }
}
