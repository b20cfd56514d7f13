//! One collection: its objects by id, by query, by cursor, by filter.

use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::batch::{BatchOptions, BatchReport, BatchWriter, ObjectFailure};
use crate::client::{Client, ShardStatus, path_segment};
use crate::config::Property;
use crate::error::{Error, Failure, Result};
use crate::filter::Filter;
use crate::object::{Object, StoredObject};
use crate::proto::azimuth::v1 as ours;
use crate::proto::weaviate::v1 as pb;
use crate::query::{Hit, Query};
use crate::rest::{body_of, parse};
use crate::retry::Repeat;

/// A collection of a server, or one tenant of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Collection {
    client: Client,
    name: String,
    tenant: Option<String>,
}

/// What a deletion by filter did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// Objects that met the filter. Servers delete a bounded number a call: repeat while this is above `successful`.
    pub matches: u64,
    /// Objects deleted.
    pub successful: u64,
    /// Objects that could not be deleted.
    pub failed: u64,
}

impl Collection {
    pub(crate) fn new(client: Client, name: String) -> Collection {
        Collection { client, name, tenant: None }
    }

    /// The same collection, confined to one tenant.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no tenant can have this name.
    pub fn tenant(mut self, tenant: &str) -> Result<Collection> {
        self.tenant = Some(path_segment(tenant)?.to_owned());
        Ok(self)
    }

    /// The collection's name, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The configuration with all defaults.
    pub async fn config(&self) -> Result<Value> {
        parse(&self.client.get(&self.schema_path("")).await?)
    }

    /// Whether the collection exists.
    pub async fn exists(&self) -> Result<bool> {
        found(self.config().await)
    }

    /// Adds a property.
    pub async fn add_property(&self, property: &Property) -> Result<()> {
        let body = body_of(property.body())?;
        let path = self.schema_path("/properties");
        self.client.rest().call(Method::POST, &path, Some(&body), Repeat::Visible).await.map(drop)
    }

    /// The shards with their queues of vectors still to be indexed.
    pub async fn shards(&self) -> Result<Vec<ShardStatus>> {
        let tenant = self.tenant.as_ref().map(|tenant| format!("?tenant={tenant}")).unwrap_or_default();
        parse(&self.client.get(&self.schema_path(&format!("/shards{tenant}"))).await?)
    }

    /// Vectors that are stored, but not in the index yet, over all shards. They are found by searches all the same.
    pub async fn vector_queue_size(&self) -> Result<u64> {
        Ok(self.shards().await?.iter().map(|shard| shard.vector_queue_size).sum())
    }

    /// Writes a new object.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if the id is taken, for instance by an earlier attempt whose answer was lost.
    pub async fn insert(&self, object: &Object) -> Result<()> {
        let body = body_of(&object.to_json(&self.name, self.tenant.as_deref())?)?;
        self.client.rest().call(Method::POST, "/objects", Some(&body), Repeat::Visible).await.map(drop)
    }

    /// The object with this id and its vectors, or `None`.
    pub async fn get(&self, id: Uuid) -> Result<Option<StoredObject>> {
        match self.client.get(&self.object_path(id, &["include=vector"])).await {
            Ok(body) => StoredObject::from_json(&body).map(Some),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there is an object with this id.
    pub async fn contains(&self, id: Uuid) -> Result<bool> {
        let path = self.object_path(id, &[]);
        found(self.client.rest().call(Method::HEAD, &path, None, Repeat::Harmless).await)
    }

    /// Replaces an object as a whole; what `object` does not have is gone.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no object with this id.
    pub async fn replace(&self, object: &Object) -> Result<()> {
        self.write(Method::PUT, object).await
    }

    /// Sets the properties and vectors that `object` has and keeps the others.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no object with this id.
    pub async fn patch(&self, object: &Object) -> Result<()> {
        self.write(Method::PATCH, object).await
    }

    /// Deletes an object; no error if there is none.
    pub async fn delete(&self, id: Uuid) -> Result<()> {
        let path = self.object_path(id, &[]);
        match self.client.rest().call(Method::DELETE, &path, None, Repeat::Harmless).await {
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes what meets `filter`, a bounded number a call. With `dry_run` only counts.
    pub async fn delete_where(&self, filter: Filter, dry_run: bool) -> Result<Deleted> {
        let request = pb::BatchDeleteRequest {
            collection: self.name.clone(),
            filters: Some(filter.into_proto()),
            dry_run,
            tenant: self.tenant.clone(),
            ..pb::BatchDeleteRequest::default()
        };
        let reply = self.client.grpc().batch_delete(&request).await?;
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(Deleted { matches: count(reply.matches), successful: count(reply.successful), failed: count(reply.failed) })
    }

    /// Runs a query.
    pub async fn search(&self, query: Query) -> Result<Vec<Hit>> {
        let request = query.into_request(&self.name, self.tenant.as_deref());
        Hit::all_of(self.client.grpc().search(&request).await?)
    }

    /// Runs several queries in one call, and gives what became of each, in their order. They share what they can: equal
    /// filters, and vectors that several have to be compared with. Only Azimuth has this call; any other server answers
    /// that it does not know it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for none or more than 256 queries, or if their limits add up to more hits than one search can have.
    pub async fn search_many(&self, queries: impl IntoIterator<Item = Query>) -> Result<Vec<Result<Vec<Hit>>>> {
        let request = |query: Query| query.into_request(&self.name, self.tenant.as_deref());
        let request = ours::SearchManyRequest { requests: queries.into_iter().map(request).collect() };
        let reply = self.client.grpc().search_many(&request).await?;
        if reply.outcomes.len() != request.requests.len() {
            let (outcomes, requests) = (reply.outcomes.len(), request.requests.len());
            return Err(Error::Protocol(format!("{outcomes} answers to {requests} queries")));
        }
        let hits = |outcome: ours::Outcome| match outcome.outcome {
            Some(ours::outcome::Outcome::Reply(reply)) => Hit::all_of(reply),
            Some(ours::outcome::Outcome::Failure(failure)) => {
                let status = tonic::Status::new(failure.code.into(), failure.message);
                Err(Failure::from_status(&status).error)
            }
            None => Err(Error::Protocol("a query without an answer".to_owned())),
        };
        Ok(reply.outcomes.into_iter().map(hits).collect())
    }

    /// Runs a request in the wire's own form, for what [`Query`] has no method for; collection and tenant are filled in.
    pub async fn search_raw(&self, mut request: pb::SearchRequest) -> Result<pb::SearchReply> {
        request.collection.clone_from(&self.name);
        request.tenant = self.tenant.clone().unwrap_or_default();
        self.client.grpc().search(&request).await
    }

    /// The number of objects, or of those that meet `filter`.
    pub async fn count(&self, filter: Option<Filter>) -> Result<u64> {
        let request = pb::AggregateRequest {
            collection: self.name.clone(),
            tenant: self.tenant.clone().unwrap_or_default(),
            objects_count: true,
            filters: filter.map(Filter::into_proto),
            ..pb::AggregateRequest::default()
        };
        let reply = self.client.grpc().aggregate(&request).await?;
        match reply.result {
            Some(pb::aggregate_reply::Result::SingleResult(single)) => {
                Ok(u64::try_from(single.objects_count.unwrap_or(0)).unwrap_or(0))
            }
            _ => Err(Error::Protocol("a count without a result".to_owned())),
        }
    }

    /// All objects in the order of their ids, `page_objects` at a time.
    pub fn pages(&self, page_objects: u32, with_vectors: bool) -> Pages {
        Pages { collection: self.clone(), page_objects: page_objects.max(1), with_vectors, last: None, ended: false }
    }

    /// Writes all `objects`, existing ones are replaced; see [`BatchWriter`]. Failures name objects by their position.
    pub async fn insert_many(&self, objects: &[Object], options: BatchOptions) -> Result<BatchReport> {
        let mut writer = self.batch(options);
        for object in objects {
            writer.add(object).await?;
        }
        writer.finish().await
    }

    /// A writer of many objects.
    pub fn batch(&self, options: BatchOptions) -> BatchWriter {
        BatchWriter::new(self.clone(), options)
    }

    pub(crate) fn to_proto(&self, object: &Object) -> Result<pb::BatchObject> {
        object.to_proto(&self.name, self.tenant.as_deref())
    }

    /// Sends one batch, repeated if need be; `first_index` is added to the positions of the failures.
    pub(crate) async fn send_batch(
        &self,
        objects: Vec<pb::BatchObject>,
        first_index: u64,
    ) -> Result<Vec<ObjectFailure>> {
        let request = pb::BatchObjectsRequest { objects, consistency_level: None };
        let reply = self.client.grpc().batch_objects(&request).await?;
        ObjectFailure::all_of(reply, &request, first_index)
    }

    async fn write(&self, method: Method, object: &Object) -> Result<()> {
        let body = body_of(&object.to_json(&self.name, self.tenant.as_deref())?)?;
        let path = format!("/objects/{}/{}", self.name, object.id);
        self.client.rest().call(method, &path, Some(&body), Repeat::Harmless).await.map(drop)
    }

    fn schema_path(&self, rest: &str) -> String {
        format!("/schema/{}{rest}", self.name)
    }

    fn object_path(&self, id: Uuid, parameters: &[&str]) -> String {
        let tenant = self.tenant.as_ref().map(|tenant| format!("tenant={tenant}"));
        let parameters: Vec<&str> = parameters.iter().copied().chain(tenant.as_deref()).collect();
        let mark = if parameters.is_empty() { "" } else { "?" };
        format!("/objects/{}/{id}{mark}{}", self.name, parameters.join("&"))
    }
}

fn found<T>(answer: Result<T>) -> Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(Error::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A walk over a whole collection. Objects written behind the walk's position are not seen, those before it are.
#[derive(Debug)]
pub struct Pages {
    collection: Collection,
    page_objects: u32,
    with_vectors: bool,
    last: Option<Uuid>,
    ended: bool,
}

impl Pages {
    /// The next objects, or `None` at the end. After an error the same page is asked for again.
    pub async fn next(&mut self) -> Result<Option<Vec<StoredObject>>> {
        if self.ended {
            return Ok(None);
        }
        let mut query = Query::list().limit(self.page_objects).with_times();
        if self.with_vectors {
            query = query.with_vectors();
        }
        if let Some(last) = self.last {
            query = query.after(last);
        }
        let page: Vec<_> = self.collection.search(query).await?.into_iter().map(|hit| hit.object).collect();
        match page.last() {
            Some(object) if Some(object.id) == self.last => Err(Error::Protocol("the cursor does not move".to_owned())),
            Some(object) => {
                self.last = Some(object.id);
                Ok(Some(page))
            }
            None => {
                self.ended = true;
                Ok(None)
            }
        }
    }
}
