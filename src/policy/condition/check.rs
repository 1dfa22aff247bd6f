//! [`check`]: from text to an expression whose work is bounded; see the module above for the rules
//! and why they suffice.
//!
//! What the evaluator does without bound (`+`, `in`, `matches`) is replaced by calls to functions
//! of ours.

use cel::ParseErrors;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::CelUInt;
use cel::parser::PrattParser;
use regex::{Regex, RegexBuilder};

use super::error::{ConditionError, ConditionFault, SOURCE_MAX};
use super::functions::{ADD, MATCHES, WITHIN};
use crate::image::json::Keep;
use crate::policy::position::Position;

/// Most operator characters, brackets and what stands in strings included. The parser recurses on
/// `?:` beside its own count of depth, and chains of fields make a deep tree; this keeps both well
/// within a thread's stack.
const OPERATORS_MAX: usize = 256;
/// Deepest nesting of brackets and calls, for the parser to hold: nobody reads more than this.
const DEPTH_MAX: u16 = 24;
/// Deepest tree, chains of `+` and indices included: the evaluator recurses on it, and it runs on
/// any thread's stack.
const TREE_MAX: usize = 40;
/// Most nodes of an expression.
const NODES_MAX: usize = 1024;
/// Size limit of one compiled pattern in bytes: ample for names and links of a few hundred
/// characters.
const REGEX_MAX: usize = 128 * 1024;
/// Most patterns in one expression.
const REGEXES_MAX: usize = 32;
/// The accumulator of a loop, which no policy can write.
const ACCUMULATOR: &str = "@result";
const VARIABLES: [&str; 3] = ["predicate", "predicateType", "now"];

/// What a checked text became.
pub(super) struct Checked {
    pub(super) expression: IdedExpr,
    pub(super) regexes: Vec<Regex>,
    pub(super) wanted: Keep,
    /// Nodes that are evaluated once for each value, at most.
    pub(super) weight: usize,
}

/// Reads and checks.
pub(super) fn check(source: &str) -> Result<Checked, ConditionError> {
    let whole = |fault| ConditionError { position: None, fault };
    if source.len() > SOURCE_MAX {
        return Err(whole(ConditionFault::TooLong { bytes: source.len() }));
    }
    if source.trim().is_empty() {
        return Err(whole(ConditionFault::Empty));
    }
    if operators(source) > OPERATORS_MAX {
        return Err(whole(ConditionFault::TooLarge { limit: OPERATORS_MAX }));
    }
    let mut expression = parse(source).map_err(|errors| syntax(source, &errors))?;
    let mut walk =
        Walk { regexes: Vec::new(), wanted: Keep::nothing(), nodes: 0, depth: 0, weight: 0 };
    walk.expression(&mut expression, None)
        .map_err(|(id, fault)| ConditionError { position: place(source, id), fault })?;
    Ok(Checked { expression, regexes: walk.regexes, wanted: walk.wanted, weight: walk.weight })
}

/// Parses with the parser that counts its own depth: the crate's other one takes 100 KiB of stack
/// and more for each bracket in a build without optimisation. `tests::both_parsers_read_the_same`
/// holds the two together.
pub(super) fn parse(source: &str) -> Result<IdedExpr, ParseErrors> {
    PrattParser::new()
        .max_recursion_depth(DEPTH_MAX)
        .max_expression_node_count(NODES_MAX.saturating_mul(4))
        .parse(source)
}

/// Operator characters. Strings are not told apart: what is a string is for the parser to say, and
/// this has to hold before it runs.
fn operators(source: &str) -> usize {
    let plain =
        |c: &char| c.is_alphanumeric() || c.is_whitespace() || matches!(c, '_' | '"' | '\'');
    source.chars().filter(|c| !plain(c)).count()
}

fn syntax(source: &str, errors: &ParseErrors) -> ConditionError {
    let too_deep = errors.errors.iter().any(|error| error.msg.contains("recursion limit exceeded"));
    if too_deep {
        let fault = ConditionFault::TooDeep { limit: usize::from(DEPTH_MAX) };
        return ConditionError { position: None, fault };
    }
    let first = errors.errors.first();
    let position = first.and_then(|error| {
        let (line, column) = error.pos;
        let (above, before) = (
            usize::try_from(line).ok()?.checked_sub(1)?,
            usize::try_from(column).ok()?.checked_sub(1)?,
        );
        let start: usize = source.split_inclusive('\n').take(above).map(str::len).sum();
        position(source, start.saturating_add(before))
    });
    let said = first.map_or_else(|| "it cannot be read".to_owned(), |error| error.msg.clone());
    ConditionError { position, fault: ConditionFault::Syntax(said) }
}

/// Where a node stands. The parser gives its places away with a fault alone, so it is given one,
/// behind the end of the expression: it numbers what stands before that as it did without.
fn place(source: &str, id: u64) -> Option<Position> {
    let errors = parse(&format!("{source}\n)")).err()?;
    let info = errors.errors.into_iter().find_map(|error| error.source_info)?;
    let (start, _) = info.offset_for(id)?;
    position(source, usize::try_from(start).ok()?)
}

/// Line and column, from 1, of a byte.
fn position(source: &str, at: usize) -> Option<Position> {
    let before = source.get(..at)?;
    let line = u64::try_from(before.matches('\n').count()).ok()?.saturating_add(1);
    let column = before.rsplit('\n').next().map_or(0, |text| text.chars().count());
    Some(Position { line, column: u64::try_from(column).ok()?.saturating_add(1) })
}

/// A fault at a node.
type Found = (u64, ConditionFault);

struct Walk {
    regexes: Vec<Regex>,
    wanted: Keep,
    nodes: usize,
    depth: usize,
    weight: usize,
}

impl Walk {
    /// Checks a node; `own` is the variable of the loop whose body it stands in.
    fn expression(&mut self, node: &mut IdedExpr, own: Option<&str>) -> Result<(), Found> {
        let id = node.id;
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > NODES_MAX {
            return Err((id, ConditionFault::TooLarge { limit: NODES_MAX }));
        }
        if own.is_some() {
            self.weight = self.weight.saturating_add(1);
        }
        self.depth = self.depth.saturating_add(1);
        let path = path(node);
        if self.depth.saturating_add(path.as_ref().map_or(0, |(_, fields)| fields.len())) > TREE_MAX
        {
            return Err((id, ConditionFault::TooDeep { limit: TREE_MAX }));
        }
        let answer = self.checked(node, path, own);
        self.depth = self.depth.saturating_sub(1);
        answer
    }

    fn checked(
        &mut self,
        node: &mut IdedExpr,
        path: Option<(String, Vec<String>)>,
        own: Option<&str>,
    ) -> Result<(), Found> {
        let id = node.id;
        if let Some((root, path)) = path {
            self.variable(id, &root, own)?;
            if root == "predicate" {
                self.wanted.add(&path);
            }
            return Ok(());
        }
        match &mut node.expr {
            Expr::Call(call) => self.call(id, call, own),
            Expr::Comprehension(comprehension) => self.comprehension(id, comprehension, own),
            Expr::Select(select) => self.expression(&mut select.operand, own),
            Expr::List(list) if list.elements.iter().all(constant) => {
                self.nodes = self.nodes.saturating_add(list.elements.len());
                Ok(())
            }
            Expr::Literal(LiteralValue::Bytes(_)) => Err((id, ConditionFault::Construction)),
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => Err((id, ConditionFault::UnknownVariable(name.clone()))),
            Expr::List(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                Err((id, ConditionFault::Construction))
            }
        }
    }

    fn variable(&self, id: u64, name: &str, own: Option<&str>) -> Result<(), Found> {
        match own {
            Some(own) if own == name || name == "now" => Ok(()),
            None if VARIABLES.contains(&name) => Ok(()),
            Some(_) if VARIABLES.contains(&name) => {
                Err((id, ConditionFault::OuterVariable(name.to_owned())))
            }
            // In a body a name may be the outer loop's or no one's; both are refused, and both want
            // the same mending.
            Some(_) => Err((id, ConditionFault::OuterVariable(name.to_owned()))),
            None => Err((id, ConditionFault::UnknownVariable(name.to_owned()))),
        }
    }

    fn call(&mut self, id: u64, call: &mut CallExpr, own: Option<&str>) -> Result<(), Found> {
        if is_comparison(&call.func_name) {
            self.weight = self.weight.saturating_add(1);
        }
        match (call.func_name.as_str(), call.target.is_some(), call.args.len()) {
            (operators::ADD, false, 2) => ADD.clone_into(&mut call.func_name),
            (operators::IN, false, 2) => {
                self.weight = self.weight.saturating_add(1);
                WITHIN.clone_into(&mut call.func_name);
            }
            ("matches", true, 1) => self.pattern(id, call)?,
            ("duration", false, 1) => duration(id, call.args.first())?,
            (operators::LOGICAL_AND | operators::LOGICAL_OR, false, 2..)
            | (operators::CONDITIONAL, false, 3)
            | (operators::LOGICAL_NOT | operators::NEGATE, false, 1)
            | (operators::INDEX, false, 2)
            | (
                operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO,
                false,
                2,
            )
            | ("timestamp" | "string" | "int" | "uint" | "double" | "size", false, 1)
            | ("size", true, 0)
            | ("contains" | "startsWith" | "endsWith", true, 1) => {}
            (name, ..) if is_comparison(name) => {}
            (name, ..) => return Err((id, ConditionFault::UnknownFunction(name.to_owned()))),
        }
        if let Some(target) = &mut call.target {
            self.expression(target, own)?;
        }
        call.args.iter_mut().try_for_each(|arg| self.expression(arg, own))
    }

    /// Compiles the constant pattern of `matches` and puts its number in its place.
    fn pattern(&mut self, id: u64, call: &mut CallExpr) -> Result<(), Found> {
        let text =
            call.args.first().and_then(text).ok_or((id, ConditionFault::NotConstant("matches")))?;
        if !anchored(&text) {
            return Err((id, ConditionFault::NotAnchored));
        }
        if self.regexes.len() >= REGEXES_MAX {
            return Err((id, ConditionFault::TooLarge { limit: REGEXES_MAX }));
        }
        // What counts its brackets is a check of what was meant; this holds whatever was written.
        let held = format!(r"\A(?:{text})\z");
        let regex = RegexBuilder::new(&held)
            .size_limit(REGEX_MAX)
            .dfa_size_limit(REGEX_MAX)
            .nest_limit(32)
            .build();
        let regex = regex.map_err(|error| (id, ConditionFault::Pattern(error.to_string())))?;
        let number = u64::try_from(self.regexes.len()).unwrap_or(u64::MAX);
        self.regexes.push(regex);
        MATCHES.clone_into(&mut call.func_name);
        let number = Expr::Literal(LiteralValue::UInt(CelUInt::from(number)));
        call.args = vec![IdedExpr { id, expr: number }];
        Ok(())
    }

    fn comprehension(
        &mut self,
        id: u64,
        of: &mut ComprehensionExpr,
        own: Option<&str>,
    ) -> Result<(), Found> {
        if VARIABLES.contains(&of.iter_var.as_str()) {
            return Err((id, ConditionFault::Shadows(of.iter_var.clone())));
        }
        if of.iter_var2.is_some() || of.accu_var != ACCUMULATOR || !bounded(&of.iter_range) {
            return Err((id, ConditionFault::Range));
        }
        self.expression(&mut of.iter_range, own)?;
        // What the macro itself adds to each round: the step, the loop's condition, the copy of the
        // element.
        self.weight = self.weight.saturating_add(4);
        let variable = of.iter_var.clone();
        self.step(id, of, &variable)
    }

    /// The parts of a loop's step that the policy wrote; the rest is as the six macros make it.
    fn step(&mut self, id: u64, of: &mut ComprehensionExpr, own: &str) -> Result<(), Found> {
        let Expr::Call(step) = &mut of.loop_step.expr else {
            return Err((id, ConditionFault::Range));
        };
        match (step.func_name.as_str(), step.args.as_mut_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [accumulated, body])
                if accumulator(accumulated) =>
            {
                self.expression(body, Some(own))
            }
            (operators::CONDITIONAL, [filter, taken, accumulated]) if accumulator(accumulated) => {
                self.expression(filter, Some(own))?;
                self.append(taken, own)
            }
            (operators::ADD, [..]) => self.append(&mut of.loop_step, own),
            _ => Err((id, ConditionFault::Range)),
        }
    }

    /// `@result + [path]` of map and filter, or `@result + 1` of exists_one.
    fn append(&mut self, step: &mut IdedExpr, own: &str) -> Result<(), Found> {
        let id = step.id;
        let Expr::Call(call) = &mut step.expr else { return Err((id, ConditionFault::Range)) };
        let [accumulated, added] = call.args.as_mut_slice() else {
            return Err((id, ConditionFault::Range));
        };
        if call.func_name != operators::ADD || !accumulator(accumulated) {
            return Err((id, ConditionFault::Range));
        }
        match &mut added.expr {
            Expr::Literal(LiteralValue::Int(_)) => Ok(()),
            Expr::List(list) => match list.elements.as_mut_slice() {
                [element] if path(element).is_some() => self.expression(element, Some(own)),
                _ => Err((id, ConditionFault::Range)),
            },
            Expr::Unspecified
            | Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::Ident(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_) => Err((id, ConditionFault::Range)),
        }
    }
}

fn is_comparison(name: &str) -> bool {
    use operators::{EQUALS, GREATER, GREATER_EQUALS, LESS, LESS_EQUALS, NOT_EQUALS};
    [EQUALS, NOT_EQUALS, LESS, LESS_EQUALS, GREATER, GREATER_EQUALS].contains(&name)
}

fn accumulator(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Ident(name) if name == ACCUMULATOR)
}

/// The variable and the fields of a path such as `predicate.a["b-c"].d`; a presence test of one is
/// one too.
pub(super) fn path(node: &IdedExpr) -> Option<(String, Vec<String>)> {
    match &node.expr {
        Expr::Ident(name) => Some((name.clone(), Vec::new())),
        Expr::Select(select) => {
            let (root, mut fields) = path(&select.operand)?;
            fields.push(select.field.clone());
            Some((root, fields))
        }
        Expr::Call(call) if call.func_name == operators::INDEX && call.target.is_none() => {
            let [of, index] = call.args.as_slice() else { return None };
            let (root, mut fields) = path(of)?;
            fields.push(text(index)?);
            Some((root, fields))
        }
        Expr::Unspecified
        | Expr::Call(_)
        | Expr::Comprehension(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_) => None,
    }
}

/// Whether the node's value is a part of a variable's, or a list of parts of it, each once.
fn bounded(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Ident(_) => true,
        Expr::Select(select) => !select.test && bounded(&select.operand),
        Expr::Call(call) if call.func_name == operators::INDEX && call.target.is_none() => {
            matches!(call.args.as_slice(), [of, index] if bounded(of) && matches!(index.expr, Expr::Literal(_)))
        }
        Expr::Comprehension(of) => {
            matches!(of.accu_init.expr, Expr::List(_)) && bounded(&of.iter_range)
        }
        Expr::Unspecified
        | Expr::Call(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_) => false,
    }
}

fn constant(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Literal(literal) if !matches!(literal, LiteralValue::Bytes(_)))
}

fn text(node: &IdedExpr) -> Option<String> {
    if let Expr::Literal(LiteralValue::String(text)) = &node.expr {
        Some(text.inner().to_owned())
    } else {
        None
    }
}

/// Whether the pattern says itself that it is about the whole text: `^...$`, no alternative outside
/// of parentheses, and no flag but i, so that `$` is the end of the text.
fn anchored(pattern: &str) -> bool {
    let Some(inner) = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')) else {
        return false;
    };
    let (mut escaped, mut class, mut depth, mut before) = (false, 0_u32, 0_u32, ' ');
    for (at, c) in inner.char_indices() {
        let rest = inner.get(at..).unwrap_or_default();
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = class.saturating_add(1),
            ']' => class = class.saturating_sub(1),
            _ if class > 0 => {}
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => return false,
            '?' if before == '(' && !rest.starts_with("?:") && !rest.starts_with("?i:") => {
                return false;
            }
            _ => {}
        }
        before = c;
    }
    !escaped && class == 0
}

/// The evaluator's reader of durations ignores what follows a duration that it could read; so this
/// reads it first.
fn duration(id: u64, argument: Option<&IdedExpr>) -> Result<(), Found> {
    let given = argument.and_then(text).ok_or((id, ConditionFault::NotConstant("duration")))?;
    let mut rest = given.strip_prefix('-').unwrap_or(&given);
    let fault = || (id, ConditionFault::Duration(given.clone()));
    if rest.is_empty() || given.len() > 64 {
        return Err(fault());
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fault)?;
        let (digits, unit) = rest.split_at_checked(number).ok_or_else(fault)?;
        let well_formed = digits.split('.').count() <= 2
            && digits.split('.').all(|part| (1..=12).contains(&part.len()));
        let unit =
            ["ms", "us", "ns", "h", "m", "s"].iter().find_map(|name| unit.strip_prefix(name));
        rest = unit.filter(|_| well_formed).ok_or_else(fault)?;
    }
    Ok(())
}
