//! A predicate as CEL sees it: only the paths that the expression names, counted before anything is
//! built.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde_json::Value;

use super::error::Inability;
use crate::image::json::Keep;

/// Deepest nesting: what the JSON reader accepts.
const DEPTH_MAX: usize = 128;
/// Most values under the paths that an expression names: building one costs some 100 ns.
pub(in super::super) const VALUES_MAX: usize = 400_000;
/// Values times nodes of loops and comparisons: a step costs up to 160 ns, where each fails on a
/// missing field.
pub(super) const WORK_MAX: usize = 1_200_000;

/// The value that `predicate` has in an expression of this weight.
pub(super) fn convert<'v>(
    untrusted: &'v Value,
    wanted: &Keep,
    weight: usize,
) -> Result<Box<dyn Val + 'v>, Inability> {
    let mut left = VALUES_MAX;
    count(untrusted, wanted, DEPTH_MAX, &mut left)?;
    if VALUES_MAX.saturating_sub(left).saturating_mul(weight) > WORK_MAX {
        return Err(Inability::TooLarge { what: "steps to evaluate", limit: WORK_MAX });
    }
    Ok(build(untrusted, wanted))
}

fn count(value: &Value, wanted: &Keep, depth: usize, left: &mut usize) -> Result<(), Inability> {
    let too_deep = Inability::TooLarge { what: "levels", limit: DEPTH_MAX };
    let depth = depth.checked_sub(1).ok_or(too_deep)?;
    let too_many = Inability::TooLarge { what: "values to look at", limit: VALUES_MAX };
    *left = left.checked_sub(1).ok_or(too_many)?;
    match (value, wanted) {
        (Value::Array(items), _) => {
            items.iter().try_for_each(|item| count(item, &Keep::All, depth, left))
        }
        (Value::Object(fields), Keep::All) => {
            fields.values().try_for_each(|field| count(field, &Keep::All, depth, left))
        }
        (Value::Object(fields), Keep::Members(names)) => names
            .iter()
            .filter_map(|(name, wanted)| Some((fields.get(name)?, wanted)))
            .try_for_each(|(field, wanted)| count(field, wanted, depth, left)),
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), _) => Ok(()),
    }
}

fn build<'v>(value: &'v Value, wanted: &Keep) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(answer) => Box::new(CelBool::from(*answer)),
        Value::Number(number) => build_number(number),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => Box::new(CelList::from(
            items.iter().map(|item| build(item, &Keep::All)).collect::<Vec<_>>(),
        )),
        Value::Object(fields) => Box::new(CelMap::from(match wanted {
            Keep::All => fields
                .iter()
                .map(|(name, field)| (name.as_str().into(), build(field, &Keep::All)))
                .collect(),
            Keep::Members(names) => names
                .iter()
                .filter_map(|(name, wanted)| {
                    let (name, field) = fields.get_key_value(name)?;
                    Some((name.as_str().into(), build(field, wanted)))
                })
                .collect::<HashMap<CelMapKey<'v>, Box<dyn Val + 'v>>>(),
        })),
    }
}

/// Whole numbers are integers (unsigned above the signed range), as they are written; all others
/// are doubles.
fn build_number<'v>(number: &serde_json::Number) -> Box<dyn Val + 'v> {
    if let Some(signed) = number.as_i64() {
        Box::new(CelInt::from(signed))
    } else if let Some(unsigned) = number.as_u64() {
        Box::new(CelUInt::from(unsigned))
    } else {
        Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)))
    }
}
