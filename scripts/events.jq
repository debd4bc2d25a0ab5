# From the programs' JSON logs to one short line for each event that a person cares about.
(fromjson? // empty)
| select(type == "object")
| (.fields // .) as $fields
| select((.target // "") | startswith("rac_"))
| select(.level == "INFO" or .level == "WARN" or .level == "ERROR")
| (now | strflocaltime("%H:%M:%S")) + "  "
  + (if .level == "INFO" then "" else (.level | ascii_downcase) + ": " end)
  + ($fields.message // "")
  + (if $fields.error then ": " + $fields.error else "" end)
