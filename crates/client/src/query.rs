//! A query of one collection: what to search by, what to filter by, what to return.

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::object::StoredObject;
use crate::proto::weaviate::v1 as pb;
use crate::vector::single_fp32;

/// A query; [`crate::Collection::search`] runs it. Without a search clause it lists objects in the order of their ids.
///
/// ```
/// use azimuth_client::{Filter, Query};
/// let query = Query::near_vector([0.1, 0.2, 0.3])
///     .filter(Filter::property("lang").equal("de"))
///     .limit(5)
///     .properties(["title"]);
/// # let _ = query;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    request: pb::SearchRequest,
}

impl Query {
    /// All objects.
    pub fn list() -> Query {
        Query {
            request: pb::SearchRequest {
                metadata: Some(pb::MetadataRequest { uuid: true, ..pb::MetadataRequest::default() }),
                uses_127_api: true,
                ..request_flags()
            },
        }
    }

    /// The objects whose vector is nearest to `vector`, nearest first; hits carry their distance.
    pub fn near_vector(vector: impl AsRef<[f32]>) -> Query {
        let near = pb::NearVector { vectors: vec![single_fp32("", vector.as_ref())], ..pb::NearVector::default() };
        let mut query = Query::list().with_metadata(|metadata| metadata.distance = true);
        query.request.near_vector = Some(near);
        query
    }

    /// The objects nearest to the stored object `id`, itself included; hits carry their distance.
    pub fn near_object(id: Uuid) -> Query {
        let near = pb::NearObject { id: id.to_string(), ..pb::NearObject::default() };
        let mut query = Query::list().with_metadata(|metadata| metadata.distance = true);
        query.request.near_object = Some(Box::new(near));
        query
    }

    /// The objects that match keywords, by BM25F over all searchable properties; hits carry their score.
    pub fn bm25(query: impl Into<String>) -> Query {
        let bm25 = pb::Bm25 { query: query.into(), ..pb::Bm25::default() };
        let mut query = Query::list().with_metadata(|metadata| metadata.score = true);
        query.request.bm25_search = Some(Box::new(bm25));
        query
    }

    /// The objects that match keywords or are near to `vector`, which counts `alpha` of 1; hits carry their score.
    pub fn hybrid(query: impl Into<String>, vector: impl AsRef<[f32]>, alpha: f32) -> Query {
        let hybrid = pb::Hybrid {
            query: query.into(),
            vectors: vec![single_fp32("", vector.as_ref())],
            alpha_param: Some(alpha),
            use_alpha_param: true,
            ..pb::Hybrid::default()
        };
        let mut query = Query::list().with_metadata(|metadata| metadata.score = true);
        query.request.hybrid_search = Some(Box::new(hybrid));
        query
    }

    /// Which properties the keywords are looked for in, each perhaps with a boost as `name^2`. Without a search by
    /// keywords it has no effect.
    pub fn keyword_properties<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Query {
        let names = names.into_iter().map(Into::into).collect();
        if let Some(bm25) = &mut self.request.bm25_search {
            bm25.properties = names;
        } else if let Some(hybrid) = &mut self.request.hybrid_search {
            hybrid.properties = names;
        }
        self
    }

    /// Which vector to search; needed if the collection has several. Without a search clause it has no effect.
    pub fn target_vector(mut self, name: impl Into<String>) -> Query {
        let targets = Some(pb::Targets { target_vectors: vec![name.into()], ..pb::Targets::default() });
        if let Some(near) = &mut self.request.near_vector {
            near.targets = targets;
        } else if let Some(near) = &mut self.request.near_object {
            near.targets = targets;
        } else if let Some(hybrid) = &mut self.request.hybrid_search {
            hybrid.targets = targets;
        }
        self
    }

    /// Drops hits farther away than `distance`. Without a search clause it has no effect.
    pub fn max_distance(mut self, distance: f64) -> Query {
        if let Some(near) = &mut self.request.near_vector {
            near.distance = Some(distance);
        } else if let Some(near) = &mut self.request.near_object {
            near.distance = Some(distance);
        }
        self
    }

    /// Only objects that meet `filter`.
    pub fn filter(mut self, filter: Filter) -> Query {
        self.request.filters = Some(Box::new(filter.into_proto()));
        self
    }

    /// At most so many objects; 0 means the server's default.
    pub fn limit(mut self, limit: u32) -> Query {
        self.request.limit = limit;
        self
    }

    /// Leaves out so many objects at the beginning.
    pub fn offset(mut self, offset: u32) -> Query {
        self.request.offset = offset;
        self
    }

    /// Cuts the hits after so many groups of similar distance.
    pub fn autocut(mut self, groups: u32) -> Query {
        self.request.autocut = groups;
        self
    }

    /// Only objects that come after this id; not together with a search, a filter, an order or an offset.
    pub fn after(mut self, id: Uuid) -> Query {
        self.request.after = id.to_string();
        self
    }

    /// Orders a listing by a property; further calls order what is equal by the former.
    pub fn sort_by(mut self, property: impl Into<String>, ascending: bool) -> Query {
        self.request.sort_by.push(pb::SortBy { ascending, path: vec![property.into()] });
        self
    }

    /// Which properties to return; all but references and blobs unless called, none for an empty list.
    pub fn properties<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Query {
        let non_ref_properties = names.into_iter().map(Into::into).collect();
        self.request.properties =
            Some(pb::PropertiesRequest { non_ref_properties, ..pb::PropertiesRequest::default() });
        self
    }

    /// Returns the vectors, too.
    pub fn with_vectors(self) -> Query {
        self.with_metadata(|metadata| metadata.vector = true)
    }

    /// Returns the times of creation and last update, too.
    pub fn with_times(self) -> Query {
        self.with_metadata(|metadata| {
            metadata.creation_time_unix = true;
            metadata.last_update_time_unix = true;
        })
    }

    /// Returns the certainty (cosine only), too.
    pub fn with_certainty(self) -> Query {
        self.with_metadata(|metadata| metadata.certainty = true)
    }

    pub(crate) fn into_request(self, collection: &str, tenant: Option<&str>) -> pb::SearchRequest {
        pb::SearchRequest {
            collection: collection.to_owned(),
            tenant: tenant.unwrap_or_default().to_owned(),
            ..self.request
        }
    }

    fn with_metadata(mut self, set: impl FnOnce(&mut pb::MetadataRequest)) -> Query {
        set(self.request.metadata.get_or_insert_default());
        self
    }
}

/// Says that the current forms of the messages are used; servers still ask for the older flags.
#[expect(deprecated, reason = "servers of the wire's older versions read these two")]
fn request_flags() -> pb::SearchRequest {
    pb::SearchRequest { uses_123_api: true, uses_125_api: true, ..pb::SearchRequest::default() }
}

/// One object found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The object, with what the query asked for.
    pub object: StoredObject,
    /// Its distance, for vector searches.
    pub distance: Option<f32>,
    /// Its certainty, if asked for and defined.
    pub certainty: Option<f32>,
    /// Its score, for searches by keywords.
    pub score: Option<f32>,
}

impl Hit {
    pub(crate) fn all_of(reply: pb::SearchReply) -> Result<Vec<Hit>> {
        reply.results.into_iter().map(Hit::from_proto).collect()
    }

    fn from_proto(result: pb::SearchResult) -> Result<Hit> {
        let metadata = result.metadata.ok_or_else(|| Error::Protocol("a hit without metadata".to_owned()))?;
        Ok(Hit {
            object: StoredObject::from_proto(result.properties, &metadata)?,
            distance: metadata.distance_present.then_some(metadata.distance),
            certainty: metadata.certainty_present.then_some(metadata.certainty),
            score: metadata.score_present.then_some(metadata.score),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_exactly_what_was_asked() {
        let query = Query::near_vector([1.0, 2.0])
            .target_vector("title")
            .max_distance(0.5)
            .filter(Filter::property("n").equal(1))
            .limit(5)
            .offset(2)
            .properties(["n"]);
        let request = query.into_request("Book", Some("t"));
        assert_eq!((request.collection.as_str(), request.tenant.as_str()), ("Book", "t"));
        assert_eq!((request.limit, request.offset), (5, 2));
        let near = request.near_vector.expect("near vector");
        assert_eq!(near.vectors[0].vector_bytes.len(), 8);
        assert_eq!(near.distance, Some(0.5));
        assert_eq!(near.targets.expect("targets").target_vectors, ["title"]);
        assert_eq!(request.filters.expect("filter").operator, 1);
        assert_eq!(request.properties.expect("properties").non_ref_properties, ["n"]);
        let metadata = request.metadata.expect("metadata");
        assert!(metadata.uuid && metadata.distance && !metadata.vector);
        assert!(request.uses_127_api);
    }

    #[test]
    fn keywords_and_vectors_are_searched_together() {
        let query = Query::hybrid("salt sea", [1.0, 2.0], 0.25).keyword_properties(["title^2"]).target_vector("front");
        let hybrid = query.into_request("Book", None).hybrid_search.expect("a hybrid search");
        assert_eq!((hybrid.query.as_str(), hybrid.alpha_param, hybrid.use_alpha_param), ("salt sea", Some(0.25), true));
        assert_eq!(hybrid.properties, ["title^2"]);
        assert_eq!(hybrid.targets.expect("targets").target_vectors, ["front"]);
        let request = Query::bm25("salt").keyword_properties(["title"]).into_request("Book", None);
        let bm25 = request.bm25_search.expect("a keyword search");
        assert_eq!((bm25.query.as_str(), bm25.properties.as_slice()), ("salt", &["title".to_owned()][..]));
        assert!(request.metadata.expect("metadata").score);
    }

    #[test]
    fn absent_is_not_zero() {
        let metadata = pb::MetadataResult { id: Uuid::nil().to_string(), ..pb::MetadataResult::default() };
        let result = pb::SearchResult { metadata: Some(metadata), ..pb::SearchResult::default() };
        let hit = Hit::from_proto(result).expect("a good hit");
        assert_eq!((hit.distance, hit.certainty, hit.score, hit.object.created_ms), (None, None, None, None));
        let none = pb::SearchResult::default();
        assert!(matches!(Hit::from_proto(none), Err(Error::Protocol(_))));
    }
}
