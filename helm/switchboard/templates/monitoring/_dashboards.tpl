{{/* A board of dashboards/*.yaml as Grafana reads it: {name, board}. Three graphs or six figures stand side by side, unless their
`width` (of 24) says otherwise. */}}
{{- define "switchboard.dashboard" -}}
{{- $source := dict "type" "prometheus" "uid" "${datasource}" -}}
{{- $series := `namespace="$namespace",job="$job"` -}}
{{- $variables := list
      (dict "name" "datasource" "label" "Prometheus" "type" "datasource" "query" "prometheus")
      (include "switchboard.dashboardVariable" (list "namespace" "Namespace" "label_values(was_sockets, namespace)") | fromJson)
      (include "switchboard.dashboardVariable" (list "job" "Installation" "label_values(was_sockets{namespace=\"$namespace\"}, job)") | fromJson) -}}
{{- if .board.pods -}}
{{- $pods := include "switchboard.dashboardVariable" (list "pod" "Pod" (printf "label_values(was_sockets{%s}, pod)" $series)) | fromJson -}}
{{- $variables = append $variables (merge (dict "multi" true "includeAll" true "current" (dict "text" "All" "value" "$__all")) $pods) -}}
{{- $series = printf `%s,pod=~"$pod"` $series -}}
{{- end -}}
{{- $panels := list -}}
{{- $x := 0 -}}
{{- $y := 0 -}}
{{- $tallest := 0 -}}
{{- range $row := .board.rows -}}
{{- $y = add $y $tallest -}}
{{- $panels = append $panels (dict "id" (add1 (len $panels)) "type" "row" "title" $row.row "collapsed" false "panels" list "gridPos" (dict "x" 0 "y" $y "w" 24 "h" 1)) -}}
{{- $x = 0 -}}
{{- $y = add1 $y -}}
{{- $tallest = 0 -}}
{{- range $panel := $row.panels -}}
{{- $graph := hasKey $panel "graph" -}}
{{- $width := $panel.width | default (ternary 8 4 $graph) | int -}}
{{- $height := ternary 8 4 $graph -}}
{{- if gt (add $x $width) 24 -}}
{{- $x = 0 -}}
{{- $y = add $y $tallest -}}
{{- $tallest = 0 -}}
{{- end -}}
{{- $targets := list -}}
{{- range $index, $query := $panel.queries -}}
{{- $targets = append $targets (dict "refId" (printf "%c" (add 65 $index)) "datasource" $source "expr" ($query.ask | replace "<series>" $series) "legendFormat" ($query.as | default "") "range" true "editorMode" "code") -}}
{{- end -}}
{{- $steps := list (dict "color" "green" "value" nil) -}}
{{- if $panel.alarm -}}{{- $steps = append $steps (dict "color" "red" "value" 0.0000001) -}}{{- end -}}
{{- $defaults := dict "unit" ($panel.unit | default "short") "min" 0 "thresholds" (dict "mode" "absolute" "steps" $steps) -}}
{{- if hasKey $panel "decimals" -}}{{- $_ := set $defaults "decimals" $panel.decimals -}}{{- else if $panel.alarm -}}{{- $_ := set $defaults "decimals" 0 -}}{{- end -}}
{{- $options := dict "reduceOptions" (dict "calcs" (list "lastNotNull")) "colorMode" "value" "graphMode" "area" -}}
{{- if $graph -}}
{{- $_ := set $defaults "color" (dict "mode" "palette-classic") -}}
{{- $_ := set $defaults "custom" (dict "drawStyle" "line" "lineWidth" 1 "fillOpacity" (ternary 30 10 (eq true $panel.stacked)) "showPoints" "never" "stacking" (dict "mode" (ternary "normal" "none" (eq true $panel.stacked)) "group" "A")) -}}
{{- $options = dict "legend" (dict "displayMode" "list" "placement" "bottom" "showLegend" true) "tooltip" (dict "mode" "multi" "sort" "desc") -}}
{{- end -}}
{{- $panels = append $panels (dict
      "id" (add1 (len $panels))
      "type" (ternary "timeseries" "stat" $graph)
      "title" (ternary $panel.graph $panel.stat $graph)
      "description" ($panel.about | default "")
      "datasource" $source
      "gridPos" (dict "x" $x "y" $y "w" $width "h" $height)
      "fieldConfig" (dict "defaults" $defaults "overrides" list)
      "options" $options
      "targets" $targets) -}}
{{- $x = add $x $width -}}
{{- $tallest = max $tallest $height -}}
{{- end -}}
{{- end -}}
{{- dict
      "uid" (printf "switchboard-%s" .name)
      "title" .board.title
      "description" .board.about
      "tags" (list "switchboard")
      "editable" true
      "graphTooltip" 1
      "refresh" "30s"
      "schemaVersion" 39
      "time" (dict "from" "now-1h" "to" "now")
      "links" (list (dict "type" "dashboards" "title" "Switchboard" "tags" (list "switchboard") "asDropdown" false "keepTime" true "includeVars" true "icon" "external link"))
      "templating" (dict "list" $variables)
      "panels" $panels | toPrettyJson -}}
{{- end -}}

{{/* A variable that is asked of Prometheus: (list name label query) */}}
{{- define "switchboard.dashboardVariable" -}}
{{- $query := dict "query" (index . 2) "refId" (index . 0) -}}
{{- dict "name" (index . 0) "label" (index . 1) "type" "query" "datasource" (dict "type" "prometheus" "uid" "${datasource}") "query" $query "definition" (index . 2) "refresh" 2 "sort" 1 | toJson -}}
{{- end -}}
