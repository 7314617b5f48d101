//! `#[derive(Inputs)]`: reads a struct's fields as the inputs of a node.
//!
//! The derive only moves tokens. A doc comment becomes the tooltip, the field's
//! name and type become the socket, and `#[widget(EXPR)]` is spliced in as an
//! ordinary Rust expression: what a widget can do is decided in `graph::widget`.
//! The struct's name is the node's class, unless `#[class("...")]` gives one that Rust cannot.

use proc_macro::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Expr, Fields, Lit, Meta, spanned::Spanned};

#[proc_macro_derive(Inputs, attributes(class, widget))]
pub fn derive_inputs(item: TokenStream) -> TokenStream {
    let item = syn::parse_macro_input!(item as DeriveInput);
    expand(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}

fn expand(item: &DeriveInput) -> syn::Result<proc_macro2::TokenStream> {
    let Data::Struct(data) = &item.data else {
        return Err(syn::Error::new(item.span(), "a node's inputs are a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(syn::Error::new(item.span(), "a node's inputs have names"));
    };

    let (mut specs, mut takes) = (Vec::new(), Vec::new());
    for field in &fields.named {
        let (ident, ty) = (&field.ident, &field.ty);
        let ident_text = ident.as_ref().map(ToString::to_string).unwrap_or_default();
        let (name, doc) = (ident_text.trim_start_matches("r#").to_owned(), doc(&field.attrs));
        let widget = match field.attrs.iter().find(|a| a.path().is_ident("widget")) {
            Some(attr) => {
                let expr: proc_macro2::TokenStream = attr.parse_args()?;
                quote!(Some({ use ::graph::widget::*; #expr }))
            }
            None => quote!(None),
        };
        specs.push(quote!(::graph::Input::new::<#ty>(#name, #doc, #widget)));
        takes.push(quote!(#ident: args.take(#name)?));
    }

    let class = item.attrs.iter().find(|attr| attr.path().is_ident("class"));
    let name = match class {
        Some(attr) => attr.parse_args::<syn::LitStr>()?.value(),
        None => item.ident.to_string(),
    };
    let (ident, doc) = (&item.ident, doc(&item.attrs));
    Ok(quote! {
        impl ::graph::Inputs for #ident {
            const NAME: &'static str = #name;
            const DOC: &'static str = #doc;
            fn inputs() -> Vec<::graph::Input> { vec![#(#specs),*] }
            fn take(args: &mut ::graph::Args) -> ::graph::Result<Self> { Ok(Self { #(#takes),* }) }
        }
    })
}

/// The doc comment's lines, joined by spaces.
fn doc(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter_map(|attr| match &attr.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(lit) => match &lit.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ")
}
