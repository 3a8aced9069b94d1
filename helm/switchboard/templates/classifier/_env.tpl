{{- define "switchboard.classifierEnv" -}}
- name: SWITCHBOARD_CLASSIFIER_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end -}}
