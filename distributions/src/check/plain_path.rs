//! Paths as operators write them.

/// Whether `text` is a path in plain form, in which a node compares those of requests: escapes
/// resolved, no segment empty but the last, none `.` or `..`.
///
/// # Errors
/// Where no request's path would ever equal it or begin with it: why, in words.
pub fn check_plain(text: &str) -> Result<(), &'static str> {
    let segments = text.strip_prefix('/').ok_or("it does not begin with /")?;
    if text.contains('\\') {
        return Err("it has a \\");
    }
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("it has a control character");
    }
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err("it has a dot segment (. or ..)"),
            "" if segments.peek().is_some() => return Err("it has an empty segment (//)"),
            _ if segment.starts_with(".;") || segment.starts_with("..;") => {
                return Err("a dot segment has parameters (..;)");
            }
            _ => {}
        }
    }
    Ok(())
}
