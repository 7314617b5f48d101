//! Values typed in once and used in several places.

use anyhow::Result;
use graph::{Context, Inputs, Node, Value, widget};

macro_rules! primitives { ($($doc:literal $name:ident $title:literal $ty:ty = $widget:expr;)*) => {$(
    #[doc = $doc]
    #[derive(Inputs)]
    pub struct $name {
        /// The value.
        #[widget($widget)]
        pub value: $ty,
    }

    impl Node for $name {
        const CATEGORY: &str = "utils/primitive";
        const TITLE: &str = $title;
        type Output = $ty;

        fn run(self, _: &mut Context) -> Result<$ty> {
            Ok(self.value)
        }
    }
)*}}

/// As far as the original lets numbers be typed in.
const FAR: i64 = i64::MAX;

primitives! {
    "A line of text." PrimitiveString "String" String = text("").unset().with("multiline", false);
    "A text of several lines." PrimitiveStringMultiline "String (Multiline)" String =
        lines();
    "A whole number." PrimitiveInt "Int" i64 =
        number(0).range(-FAR..=FAR).unset().with("control_after_generate", true);
    "A number." PrimitiveFloat "Float" f64 =
        number(0.0).range(-(FAR as f64)..=FAR as f64).unset();
    "Yes or no." PrimitiveBoolean "Boolean" bool = toggle(false).unset();
}

/// Shows what comes along a link, as text.
#[derive(Inputs)]
pub struct PreviewAny {
    /// Anything.
    pub source: Value,
}

impl Node for PreviewAny {
    const CATEGORY: &str = "utils";
    const TITLE: &str = "Preview Any";
    const OUTPUT_NODE: bool = true;
    type Output = ();

    fn run(self, ctx: &mut Context) -> Result<()> {
        ctx.show("text", told(&self.source).into());
        Ok(())
    }
}

/// Texts, numbers and truths as Python writes them; of anything else the kind, the size and the range.
fn told(value: &Value) -> String {
    if let Ok(text) = value.get::<String>() {
        return text.clone();
    }
    if let Ok(truth) = value.get::<bool>() {
        return if *truth { "True" } else { "False" }.into();
    }
    if let Ok(number) = value.get::<f64>() {
        return format!("{number:?}");
    }
    if let Some(number) = widget::whole(value) {
        return number.to_string();
    }
    let parts = crate::dump(value).into_iter().map(|(part, shape, x)| {
        let (low, high) = x.iter().fold((f32::MAX, f32::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
        format!("\n{} {shape:?} from {low} to {high}", part.trim_start_matches('.'))
    });
    format!("{}{}", value.ty, parts.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Value) -> String {
        let shown = Context::bare(|ctx| {
            PreviewAny { source: value }.run(ctx)?;
            anyhow::Ok(ctx.ui["text"][0].clone())
        });
        shown.unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn values_are_shown_as_python_writes_them() {
        assert_eq!(text(Value::new(7u64)), "7");
        assert_eq!(text(Value::new(7.0)), "7.0");
        assert_eq!(text(Value::new(true)), "True");
        assert_eq!(text(Value::new("a \"b\"".to_owned())), "a \"b\"");
        let mask = crate::Mask(std::sync::Arc::new(ndarray::Array3::ones((1, 2, 3))));
        assert_eq!(text(Value::new(mask)), "MASK\n [1, 2, 3] from 1 to 1");
    }
}
