{{/* Which series are this installation's, as they stand in braces. */}}
{{- define "switchboard.series" -}}
{{- if .Values.metrics.prometheusRule.selector -}}
{{- .Values.metrics.prometheusRule.selector -}}
{{- else -}}
namespace="{{ .Release.Namespace }}",job="{{ .Release.Name }}"
{{- end -}}
{{- end -}}

{{/* The groups of files/alerts.yaml, filled in. */}}
{{- define "switchboard.alerts" -}}
{{- $values := .Values.metrics.prometheusRule -}}
{{- $file := .Files.Get "files/alerts.yaml" | fromYaml -}}
{{- $on := dict "push" .Values.push.enabled "kubeStateMetrics" $values.kubeStateMetrics -}}
{{- $fill := dict
      "<series>" (include "switchboard.series" .)
      "<max_sockets>" (include "switchboard.setting" (list . "was" "max_sockets" "50000") | int64 | toString)
      "<push_queue>" (include "switchboard.setting" (list . "push" "queue" "10000") | int64 | toString)
      "<namespace>" .Release.Namespace -}}
{{- range $name, $threshold := mergeOverwrite (deepCopy $file.thresholds) $values.thresholds -}}
{{- $_ := set $fill (printf "<of:%s>" $name) (toString $threshold) -}}
{{- end -}}
{{- $groups := list -}}
{{- range $group := $file.groups -}}
{{- $rules := list -}}
{{- range $rule := $group.rules -}}
{{- $wanted := or (not $rule.when) (get $on ($rule.when | default "")) -}}
{{- if and $wanted (not (has $rule.alert $values.disabled)) -}}
{{- $expr := $rule.expr -}}
{{- $description := $rule.description -}}
{{- range $from, $to := $fill -}}
{{- $expr = replace $from $to $expr -}}
{{- $description = replace $from $to $description -}}
{{- end -}}
{{- $runbook := printf "%s#%s" ($values.runbookUrl | default "docs/runbooks.md") (lower $rule.alert) -}}
{{- $made := dict
      "alert" $rule.alert
      "expr" $expr
      "labels" (mergeOverwrite (dict "severity" $rule.severity) (deepCopy $values.alertLabels))
      "annotations" (dict "summary" $rule.summary "description" $description (ternary "runbook_url" "runbook" (ne $values.runbookUrl "")) $runbook) -}}
{{- with $rule.for -}}{{- $_ := set $made "for" . -}}{{- end -}}
{{- $rules = append $rules $made -}}
{{- end -}}
{{- end -}}
{{- if $rules -}}
{{- $groups = append $groups (dict "name" $group.name "rules" $rules) -}}
{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}
