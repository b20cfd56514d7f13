//! What a search answer carries of each object: properties, references with theirs, metadata.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use azimuth_engine::ids::VectorId;
use azimuth_engine::limits;
use azimuth_engine::meta::Catalog;
use azimuth_engine::query::{Include, Projection};
use azimuth_engine::schema::{Collection, DataType, Primitive, Property, ShardTable};
use tonic::Status;

use super::search::find_collection;
use crate::app::schema::names::lower_first;
use crate::app::shards::{Follow, FollowTarget};
use crate::pb::weaviate::{MetadataRequest, ObjectPropertiesRequest, PropertiesRequest, RefPropertiesRequest};
use crate::weaviate::filter::wire_name;
use crate::weaviate::texts::no_such_property;

/// Nesting of references in a request, at most.
const DEPTH_MAX: usize = 16;

/// What is answered of the objects of one collection.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    /// Whose objects.
    pub(super) collection: Arc<Collection>,
    /// The shards of the collection.
    shards: ShardTable,
    /// Plain properties; `None` leaves the message out.
    pub(super) fields: Option<Vec<Field>>,
    /// References that are followed.
    pub(super) references: Vec<Reference>,
    /// Metadata.
    pub(super) metadata: Metadata,
    /// The tenant of the objects, in which their references are looked up; empty for none.
    pub(super) tenant: String,
}

/// A plain property.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Its name.
    pub(super) name: String,
    /// What it holds.
    pub(super) data_type: DataType,
    /// What is answered of an object value.
    pub(super) nested: Vec<Field>,
}

/// A reference property that is followed.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    /// Its name.
    pub(super) property: String,
    /// The selection for its targets, one for each requested collection.
    pub(super) targets: Vec<Selection>,
}

/// Metadata of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Metadata {
    /// As asked for.
    pub(super) asked: MetadataRequest,
    /// The unnamed vector.
    pub(super) unnamed: bool,
    /// Named vectors.
    pub(super) named: Vec<(String, VectorId)>,
}

impl Selection {
    /// Reads what a request asks for.
    ///
    /// # Errors
    /// Names the property or collection that is not there.
    pub(super) fn new(
        catalog: &Catalog,
        collection: &Arc<Collection>,
        properties: Option<&PropertiesRequest>,
        metadata: Option<&MetadataRequest>,
        tenant: &str,
    ) -> Result<Self, Status> {
        Self::at_depth(catalog, collection, properties, metadata, tenant, 0)
    }

    fn at_depth(
        catalog: &Catalog,
        collection: &Arc<Collection>,
        properties: Option<&PropertiesRequest>,
        metadata: Option<&MetadataRequest>,
        tenant: &str,
        depth: usize,
    ) -> Result<Self, Status> {
        let wrap = |why: String| Status::unknown(format!("extract properties request: {why}"));
        if depth > DEPTH_MAX {
            return Err(wrap(format!("references are nested deeper than {DEPTH_MAX}")));
        }
        let metadata = metadata.map(|asked| Metadata::new(collection, asked)).unwrap_or_default();
        let (collection, tenant) = (collection.clone(), tenant.to_owned());
        let shards = catalog.shards(collection.id).clone();
        let mut selection = Self { collection, shards, fields: None, references: Vec::new(), metadata, tenant };
        let (collection, tenant) = (&selection.collection.clone(), &selection.tenant.clone());
        let Some(request) = properties else {
            selection.fields = Some(all_fields(collection));
            return Ok(selection);
        };
        selection.fields = fields(collection, request).map_err(wrap)?;
        for asked in &request.ref_properties {
            let found = reference(catalog, collection, asked).map_err(|error| wrap(error.message().to_owned()))?;
            let target = Self::at_depth(
                catalog,
                &found.1,
                asked.properties.as_ref(),
                asked.metadata.as_ref(),
                tenant,
                depth + 1,
            )
            .map_err(|error| wrap(error.message().to_owned()))?;
            selection.add_reference(found.0, target);
        }
        Ok(selection)
    }

    /// The references that are read with the objects, in the order of [`references`](Self::references).
    pub(super) fn follow(&self) -> Vec<Follow> {
        let target = |selection: &Self| FollowTarget {
            collection: selection.collection.clone(),
            shards: selection.shards.clone(),
            tenant: selection.tenant.clone(),
            include: selection.include(),
            follow: selection.follow(),
        };
        let follow = |reference: &Reference| Follow {
            property: reference.property.clone(),
            targets: reference.targets.iter().map(target).collect(),
        };
        self.references.iter().map(follow).collect()
    }

    /// Adds a reference property. If the property is selected already, its targets are answered once, with the union of
    /// both selections.
    fn add_reference(&mut self, property: String, target: Self) {
        let Some(known) = self.references.iter_mut().find(|known| known.property == property) else {
            self.references.push(Reference { property, targets: vec![target] });
            return;
        };
        match known.targets.iter_mut().find(|known| known.collection.id == target.collection.id) {
            Some(known) => known.merge(target),
            None => known.targets.push(target),
        }
    }

    /// Adds the selection `other` of the same collection.
    fn merge(&mut self, other: Self) {
        match (&mut self.fields, other.fields) {
            (Some(fields), Some(more)) => merge_fields(fields, more),
            (fields @ None, more) => *fields = more,
            (Some(_), None) => {}
        }
        for Reference { property, targets } in other.references {
            targets.into_iter().for_each(|target| self.add_reference(property.clone(), target));
        }
        self.metadata.merge(other.metadata);
    }

    /// Adds a plain property that is not selected yet.
    pub(super) fn add(&mut self, property: &str) {
        let Some(property) = self.collection.property(property).filter(|property| is_plain(property)) else { return };
        let fields = self.fields.get_or_insert_default();
        if fields.iter().all(|field| field.name != property.name) {
            fields.push(Field::whole(property));
        }
    }

    /// What must be read of each object.
    pub(super) fn include(&self) -> Include {
        let vectors = self.metadata.unnamed.then_some(VectorId::UNNAMED);
        let fields = self.fields.iter().flatten().map(|field| (field.name.clone(), field.projection()));
        let references = self.references.iter().map(|reference| (reference.property.clone(), Projection::All));
        let properties = match fields.chain(references).collect() {
            // Rows are decoded faster without comparing names.
            Projection::These(members)
                if self.collection.properties().iter().all(|p| members.get(&p.name) == Some(&Projection::All)) =>
            {
                Projection::All
            }
            some => some,
        };
        Include {
            properties,
            vectors: vectors.into_iter().chain(self.metadata.named.iter().map(|(_, id)| *id)).collect(),
            ..Include::default()
        }
    }
}

impl Metadata {
    fn new(collection: &Collection, asked: &MetadataRequest) -> Self {
        let named = collection.vectors.named.iter();
        let wanted = named.filter(|(name, _)| asked.vector || asked.vectors.contains(name));
        Self {
            unnamed: asked.vector && collection.vectors.unnamed.is_some(),
            named: wanted.map(|(name, config)| (name.clone(), config.id)).collect(),
            asked: asked.clone(),
        }
    }

    fn merge(&mut self, other: Self) {
        let (asked, more) = (&mut self.asked, &other.asked);
        for (flag, more) in [
            (&mut asked.uuid, more.uuid),
            (&mut asked.vector, more.vector),
            (&mut asked.creation_time_unix, more.creation_time_unix),
            (&mut asked.last_update_time_unix, more.last_update_time_unix),
            (&mut asked.distance, more.distance),
            (&mut asked.certainty, more.certainty),
            (&mut asked.score, more.score),
            (&mut asked.explain_score, more.explain_score),
            (&mut asked.is_consistent, more.is_consistent),
            (&mut asked.query_profile, more.query_profile),
        ] {
            *flag |= more;
        }
        self.unnamed |= other.unnamed;
        let missing = other.named.into_iter().filter(|(name, _)| self.named.iter().all(|(known, _)| known != name));
        let missing: Vec<_> = missing.collect();
        self.named.extend(missing);
    }
}

/// Adds fields to others; fields of one name become one, with the union of their inner fields.
fn merge_fields(fields: &mut Vec<Field>, more: Vec<Field>) {
    let mut known: HashMap<String, usize> =
        fields.iter().enumerate().map(|(at, field)| (field.name.clone(), at)).collect();
    for field in more {
        match known.get(&field.name) {
            Some(&at) => merge_fields(&mut fields[at].nested, field.nested),
            None => {
                known.insert(field.name.clone(), fields.len());
                fields.push(field);
            }
        }
    }
}

fn is_plain(property: &Property) -> bool {
    !matches!(property.data_type, DataType::Reference(_))
}

fn is_blob(property: &Property) -> bool {
    matches!(property.data_type, DataType::Primitive { of: Primitive::Blob, .. })
}

/// All plain properties that are no blobs.
fn all_fields(collection: &Collection) -> Vec<Field> {
    collection.properties().iter().filter(|p| is_plain(p) && !is_blob(p)).map(Field::whole).collect()
}

fn fields(collection: &Collection, request: &PropertiesRequest) -> Result<Option<Vec<Field>>, String> {
    if request.return_all_nonref_properties {
        return Ok(Some(all_fields(collection)));
    }
    let (mut fields, mut seen) = (Vec::new(), HashSet::new());
    for name in &request.non_ref_properties {
        let name = lower_first(name);
        if !seen.insert(name.clone()) {
            continue;
        }
        let property = collection.property(&name).ok_or_else(|| {
            format!(
                "get property by name {name} for class {}: {}",
                collection.name,
                no_such_property(&name, &collection.name)
            )
        })?;
        fields.push(Field::whole(property));
    }
    let mut objects = Vec::with_capacity(request.object_properties.len());
    for asked in &request.object_properties {
        let name = lower_first(&asked.prop_name);
        let property = collection.property(&name).ok_or_else(|| {
            format!(
                "get property by name {name} for class {}: {}",
                collection.name,
                no_such_property(&name, &collection.name)
            )
        })?;
        objects.push(Field::nested(property, asked, 0)?);
    }
    merge_fields(&mut fields, objects);
    Ok((!fields.is_empty()).then_some(fields))
}

impl Field {
    /// The part of a value that is answered.
    fn projection(&self) -> Projection {
        let nested: Projection = self.nested.iter().map(|field| (field.name.clone(), field.projection())).collect();
        if nested.is_none() { Projection::All } else { nested }
    }

    fn whole(property: &Property) -> Self {
        Self {
            name: property.name.clone(),
            data_type: property.data_type.clone(),
            nested: property.nested.iter().map(Self::whole).collect(),
        }
    }

    fn nested(property: &Property, asked: &ObjectPropertiesRequest, depth: usize) -> Result<Self, String> {
        if depth > limits::DEPTH_MAX {
            return Err(format!("object properties are nested deeper than {}", limits::DEPTH_MAX));
        }
        let find = |name: &str| {
            let found = property.nested.iter().find(|nested| nested.name == name);
            found.ok_or_else(|| no_such_property(name, &property.name))
        };
        let mut nested = Vec::new();
        let (mut whole, mut seen) = (Vec::new(), HashSet::new());
        for name in asked.primitive_properties.iter().filter(|name| seen.insert(name.as_str())) {
            whole.push(Self::whole(find(name)?));
        }
        merge_fields(&mut nested, whole);
        let objects: Result<Vec<_>, String> = asked
            .object_properties
            .iter()
            .map(|inner| Self::nested(find(&inner.prop_name)?, inner, depth + 1))
            .collect();
        merge_fields(&mut nested, objects?);
        Ok(Self { name: property.name.clone(), data_type: property.data_type.clone(), nested })
    }
}

/// Name of the reference property, and the collection it is followed to.
fn reference(
    catalog: &Catalog,
    collection: &Collection,
    asked: &RefPropertiesRequest,
) -> Result<(String, Arc<Collection>), Status> {
    let name = lower_first(&asked.reference_property);
    let Some(property) = collection.property(&name) else {
        return Err(Status::unknown(no_such_property(&name, &collection.name)));
    };
    let target = match &property.data_type {
        DataType::Reference(targets) => match targets.as_slice() {
            [only] => only.clone(),
            _ if !asked.target_collection.is_empty() => asked.target_collection.clone(),
            several => {
                return Err(Status::unknown(format!(
                    "multi target references from collection {} and property {name} with need an explicitlinked \
                     collection. Available linked collections are [{}]",
                    collection.name,
                    several.join(" ")
                )));
            }
        },
        plain => return Err(Status::unknown(format!("could not find class {} in schema", wire_name(plain)))),
    };
    Ok((name, find_collection(catalog, &target)?))
}
