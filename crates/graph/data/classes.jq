# From ComfyUI's answer to /object_info, what the two JSON forms of a graph need of each class:
#   jq -r -f classes.jq object_info.json > classes.json
# Texts, limits and lists of names stay out.
def flags: ["control_after_generate", "dynamicPrompts", "file_upload", "forceInput",
  "image_upload", "multiline", "rawLink", "video_upload"];
def options($type): with_entries(select(
  (.key == "default" and $type != "STRING") or (.value == true and (.key | IN(flags[])))));
def spec: (.[0] | if type == "string" then . else "COMBO" end) as $type
  | (.[1] // {} | options($type)) as $options
  | if $options == {} then [$type] else [$type, $options] end;
def inputs: {required, optional} | map_values(. // {} | map_values(spec)) | map_values(select(. != {}));
to_entries
| map("\(.key | tojson): \(.value | {input: (.input | inputs), output, output_name} | tojson)")
| "{\n" + join(",\n") + "\n}"
