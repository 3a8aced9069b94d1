{{- define "switchboard.pushEnv" -}}
- name: SWITCHBOARD_CLASSIFIER_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- if .Values.push.fcm.existingSecret.name }}
- name: SWITCHBOARD_PUSH_FCM_CREDENTIALS
  value: /etc/switchboard/fcm/credentials.json
{{- end }}
{{- end -}}
