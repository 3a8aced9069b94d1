{{- define "switchboard.pushEnv" -}}
- name: SWITCHBOARD_CLASSIFIER_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- with .root.Values.push.webhook }}
{{- if .existingSecret.name }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_PUSH_WEBHOOK_URL" .existingSecret.name .existingSecret.urlKey) }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_PUSH_WEBHOOK_SECRET" .existingSecret.name .existingSecret.secretKey) }}
{{- else if .url }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_PUSH_WEBHOOK_URL" $.own "push-webhook-url") }}
{{ include "switchboard.envSecret" (list "SWITCHBOARD_PUSH_WEBHOOK_SECRET" $.own "push-webhook-secret") }}
{{- end }}
{{- end }}
{{- if .root.Values.push.fcm.existingSecret.name }}
- name: SWITCHBOARD_PUSH_FCM_CREDENTIALS
  value: /etc/switchboard/fcm/credentials.json
{{- end }}
{{- end -}}
