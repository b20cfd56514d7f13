//! Conditions on the objects that references lead to: those objects are found first, in all shards of their collection, and
//! the shards of the filter get their ids.
//!
//! Of a path of several references the last collection is read first. Each read takes the views of its own time: an object
//! that is written between two of them can be seen by one and not by the other.

use azimuth_engine::limits::{FILTER_DEPTH_MAX, REFERENCE_STEPS_MAX, REFERENCED_MAX};
use azimuth_engine::query::{Charge, Filter, FilterValue, IdSet, Operator, Path, PathStep, ShardAnswer, ShardRead};
use azimuth_engine::schema::{Collection, DataType};
use azimuth_engine::{Error, Result, interrupt};
use uuid::Uuid;

use super::{ShardTarget, Shards, mismatch};
use crate::request_memory;

/// A reference of a path and the shards that it leads to; without shards it leads to no object.
struct Level<'p> {
    step: &'p PathStep,
    target: Option<ShardTarget>,
}

impl Shards<'_> {
    /// The filter with each comparison behind references replaced by the ids of the objects that match it, as shards answer
    /// it.
    ///
    /// # Errors
    /// [`Error::Limit`] for a filter that is nested too deeply, follows too many references, or matches too many objects
    /// behind one; [`Error::Invalid`] where a tenant of the objects is not active; the errors of the reads.
    pub(super) fn resolve(self, target: &ShardTarget, filter: &Filter) -> Result<Filter> {
        if !filter.follows_references() {
            return Ok(filter.clone());
        }
        self.resolve_below(target, filter, 0)
    }

    fn resolve_below(self, target: &ShardTarget, filter: &Filter, depth: usize) -> Result<Filter> {
        if depth > FILTER_DEPTH_MAX {
            return Err(Error::Limit(format!("filters can be nested {FILTER_DEPTH_MAX} deep")));
        }
        let all = |operands: &[Filter]| -> Result<Vec<Filter>> {
            operands.iter().map(|operand| self.resolve_below(target, operand, depth + 1)).collect()
        };
        Ok(match filter {
            Filter::And(operands) => Filter::And(all(operands)?),
            Filter::Or(operands) => Filter::Or(all(operands)?),
            Filter::Not(operand) => Filter::Not(Box::new(self.resolve_below(target, operand, depth + 1)?)),
            Filter::Compare { path, operator, value } if !path.through.is_empty() => {
                self.resolve_path(target, path, *operator, value)?
            }
            Filter::Compare { .. } | Filter::ReferenceIn { .. } => filter.clone(),
        })
    }

    fn resolve_path(
        self,
        target: &ShardTarget,
        path: &Path,
        operator: Operator,
        value: &FilterValue,
    ) -> Result<Filter> {
        let levels = self.levels(target, &path.through)?;
        let subject = Path { through: Vec::new(), subject: path.subject.clone() };
        let compare =
            |operator, value: &FilterValue| Filter::Compare { path: subject.clone(), operator, value: value.clone() };
        match (operator, value) {
            // Each member may be met by another object: the operator applies to the references of the first collection.
            (Operator::ContainsAny | Operator::ContainsAll | Operator::ContainsNone, FilterValue::List(members)) => {
                let members = members.iter().map(|member| compare(Operator::Equal, member)).collect();
                let conditions = operator.of_members(self.climb(&levels, members)?)?;
                Ok(match operator {
                    Operator::ContainsAll => Filter::And(conditions),
                    Operator::ContainsNone => Filter::Not(Box::new(Filter::Or(conditions))),
                    _ => Filter::Or(conditions),
                })
            }
            _ => {
                let conditions = self.climb(&levels, vec![compare(operator, value)])?;
                conditions.into_iter().next().unwrap_or_else(|| Err(mismatch()))
            }
        }
    }

    /// The references of a path with their shards, up to the first one that leads nowhere.
    fn levels<'p>(self, target: &ShardTarget, steps: &'p [PathStep]) -> Result<Vec<Level<'p>>> {
        if steps.len() > REFERENCE_STEPS_MAX {
            return Err(Error::Limit(format!("the path of a condition can follow {REFERENCE_STEPS_MAX} references")));
        }
        let mut levels: Vec<Level<'p>> = Vec::with_capacity(steps.len());
        for step in steps {
            let from = levels.last().and_then(|level| level.target.as_ref()).unwrap_or(target);
            let target = if is_reference(&from.collection, &step.property) {
                ShardTarget::referenced(self.catalog, &step.collection, from.tenant())
                    .map_err(|why| Error::Invalid(format!("follow the reference {}: {why}", step.property)))?
            } else {
                None
            };
            let ends = target.is_none();
            levels.push(Level { step, target });
            if ends {
                break;
            }
        }
        Ok(levels)
    }

    /// Conditions on the objects at the end of a path, made into conditions on the references of the first collection.
    fn climb(self, levels: &[Level<'_>], conditions: Vec<Filter>) -> Result<Vec<Result<Filter>>> {
        let mut conditions: Vec<Result<Filter>> = conditions.into_iter().map(Ok).collect();
        for Level { step, target } in levels.iter().rev() {
            interrupt::check()?;
            let refer = |ids: IdSet| Filter::ReferenceIn {
                property: step.property.clone(),
                collection: step.collection.clone(),
                ids,
            };
            conditions = match target {
                None => conditions.iter().map(|_| Ok(refer(IdSet::default()))).collect(),
                Some(target) => self.ids(target, step, conditions)?.into_iter().map(|ids| Ok(refer(ids?))).collect(),
            };
        }
        Ok(conditions)
    }

    /// For each condition the ids of the objects of all shards that match it.
    fn ids(self, target: &ShardTarget, step: &PathStep, conditions: Vec<Result<Filter>>) -> Result<Vec<Result<IdSet>>> {
        let filters: Vec<Filter> = conditions.iter().flatten().cloned().collect();
        let read =
            |at| ShardRead::Ids { at, filters: filters.clone(), limit: REFERENCED_MAX + 1, charge: Charge::default() };
        let mut found: Vec<Result<Vec<Uuid>>> = filters.iter().map(|_| Ok(Vec::new())).collect();
        for (_, answer) in self.scatter(target, read) {
            let ShardAnswer::Ids(lists) = answer? else { return Err(mismatch()) };
            if lists.len() != found.len() {
                return Err(mismatch());
            }
            for (all, list) in found.iter_mut().zip(lists) {
                if let Ok(ids) = all {
                    match list {
                        Ok(list) if ids.len() + list.len() > REFERENCED_MAX => *all = Err(too_many(step)),
                        Ok(list) if ids.is_empty() => *ids = list,
                        Ok(list) => ids.extend(list),
                        Err(error) => *all = Err(error),
                    }
                }
            }
        }
        let mut found = found.into_iter();
        let set = |condition: Result<Filter>| {
            condition?;
            let ids = found.next().unwrap_or_else(|| Err(mismatch()))?;
            request_memory::charge(ids.len() * size_of::<Uuid>())?;
            Ok(IdSet::new(ids))
        };
        Ok(conditions.into_iter().map(set).collect())
    }
}

/// Whether the property holds references. Of `name.x` it is `name`: references have nothing below them.
fn is_reference(collection: &Collection, name: &str) -> bool {
    let top = name.split('.').next().unwrap_or(name);
    collection.property(top).is_some_and(|property| matches!(property.data_type, DataType::Reference(_)))
}

fn too_many(step: &PathStep) -> Error {
    let PathStep { property, collection } = step;
    Error::Limit(format!(
        "more than {REFERENCED_MAX} objects of {collection} match the condition behind the reference {property}: narrow the \
         condition"
    ))
}
