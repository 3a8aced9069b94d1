{{/* What the schema can't see: values that don't fit together. All that is wrong is said at once. */}}
{{- define "switchboard.validate" -}}
{{- $wrong := list -}}
{{- $v := .Values -}}
{{- $dev := $v.dev.enabled -}}

{{- if not (regexMatch "^[a-z]" (include "switchboard.fullname" .)) -}}
{{- $wrong = append $wrong (printf "the release's name, %s, does not begin with a letter, and no Service may be called so: give fullnameOverride" .Release.Name) -}}
{{- end -}}
{{- if and (contains "for-a-first-try-only" $v.auth.hs256.secret) (not $dev) -}}
{{- $wrong = append $wrong "auth.hs256.secret is that of values-dev.yaml, which everybody can read: openssl rand -hex 32" -}}
{{- end -}}
{{- $ours := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/part-of" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" "switchboard/metrics" -}}
{{- range $where, $labels := dict "commonLabels" $v.commonLabels "was.podLabels" $v.was.podLabels "classifier.podLabels" $v.classifier.podLabels "push.podLabels" $v.push.podLabels "setup.podLabels" $v.setup.podLabels "service.labels" $v.service.labels -}}
{{- range $label, $_ := $labels -}}
{{- if has $label $ours -}}
{{- $wrong = append $wrong (printf "%s: %s is the chart's" $where $label) -}}
{{- end -}}
{{- if and (ne $where "commonLabels") (hasKey $v.commonLabels $label) -}}
{{- $wrong = append $wrong (printf "%s: %s is in commonLabels, too" $where $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if not (include "switchboard.kafkaBrokers" .) -}}
{{- $wrong = append $wrong "kafka.brokers must be given (or dev.enabled, for a first try)" -}}
{{- end -}}
{{- if gt (int $v.kafka.minInsync) (int $v.kafka.replication) -}}
{{- $wrong = append $wrong "kafka.minInsync must not be above kafka.replication" -}}
{{- end -}}
{{- with $v.kafka.sasl -}}
{{- if .enabled -}}
{{- if not (or .username (and .existingSecret.name .existingSecret.usernameKey)) -}}
{{- $wrong = append $wrong "kafka.sasl.username must be given, or a secret with its usernameKey" -}}
{{- end -}}
{{- if not (or .password .existingSecret.name) -}}
{{- $wrong = append $wrong "kafka.sasl.existingSecret.name must be given, or kafka.sasl.password" -}}
{{- end -}}
{{- if and (eq .mechanism "PLAIN") (not $v.kafka.tls.enabled) -}}
{{- $wrong = append $wrong "kafka.sasl.mechanism PLAIN sends the password as it is: it needs kafka.tls.enabled" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.kafka.tls.client.secret (not $v.kafka.tls.enabled) -}}
{{- $wrong = append $wrong "kafka.tls.client needs kafka.tls.enabled" -}}
{{- end -}}
{{- range $name := list "kafka" "postgres" "redis" -}}
{{- with (index $v $name).tls.ca -}}
{{- if and .secret .configMap -}}
{{- $wrong = append $wrong (printf "%s.tls.ca: either secret or configMap" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $v.postgres.tls -}}
{{- if and (or .ca.secret .ca.configMap) (ne .mode "verify-full") -}}
{{- $wrong = append $wrong "postgres.tls.ca needs postgres.tls.mode verify-full: nothing is verified otherwise" -}}
{{- end -}}
{{- end -}}

{{- range $name := list "postgres" "redis" -}}
{{- $server := index $v $name -}}
{{- $ways := list -}}
{{- if $server.url -}}{{- $ways = append $ways "url" -}}{{- end -}}
{{- if $server.existingSecret.name -}}{{- $ways = append $ways "existingSecret" -}}{{- end -}}
{{- $parts := ternary "addresses" "host" (eq $name "redis") -}}
{{- if index $server $parts -}}{{- $ways = append $ways $parts -}}{{- end -}}
{{- if gt (len $ways) 1 -}}
{{- $wrong = append $wrong (printf "%s: only one of %s" $name (join ", " $ways)) -}}
{{- else if and (not $ways) (not $dev) -}}
{{- $wrong = append $wrong (printf "%s: url, existingSecret or %s must be given (or dev.enabled, for a first try)" $name $parts) -}}
{{- end -}}
{{- end -}}
{{- if and $v.postgres.host (not $v.postgres.passwordSecret.name) -}}
{{- $wrong = append $wrong "postgres.passwordSecret.name must be given with postgres.host" -}}
{{- end -}}

{{- with $v.redis -}}
{{- if and .cluster .sentinel.master -}}
{{- $wrong = append $wrong "redis: either cluster or sentinel.master" -}}
{{- end -}}
{{- if and (contains "," .addresses) (not .cluster) (not .sentinel.master) -}}
{{- $wrong = append $wrong "redis.addresses: several only with redis.cluster or redis.sentinel.master" -}}
{{- end -}}
{{- if and .cluster (ne (int .database) 0) -}}
{{- $wrong = append $wrong "redis.database must be 0 with redis.cluster" -}}
{{- end -}}
{{- if and .sentinel.passwordSecret.name (not .sentinel.master) -}}
{{- $wrong = append $wrong "redis.sentinel.passwordSecret needs redis.sentinel.master" -}}
{{- end -}}
{{- if and .tls.enabled (or .url .existingSecret.name) -}}
{{- $wrong = append $wrong "redis.tls.enabled: write rediss:// in the address instead" -}}
{{- end -}}
{{- if and (or .tls.ca.secret .tls.ca.configMap) .addresses (not .tls.enabled) -}}
{{- $wrong = append $wrong "redis.tls.ca needs redis.tls.enabled" -}}
{{- end -}}
{{- end -}}

{{- $hs256 := or $v.auth.hs256.secret $v.auth.hs256.existingSecret.name -}}
{{- if not (or $hs256 (include "switchboard.keyFile" (list $v.auth "jwks")) (include "switchboard.keyFile" (list $v.auth "publicKey"))) -}}
{{- $wrong = append $wrong "auth: one of hs256, jwks and publicKey must be given: nobody could connect" -}}
{{- end -}}
{{- if and $v.auth.devTokens (not $hs256) -}}
{{- $wrong = append $wrong "auth.devTokens needs auth.hs256 to sign tokens with" -}}
{{- end -}}
{{- range $name := list "jwks" "publicKey" -}}
{{- $given := index $v.auth $name -}}
{{- if gt (len (compact (list $given.inline $given.configMap $given.secret))) 1 -}}
{{- $wrong = append $wrong (printf "auth.%s: only one of inline, configMap and secret" $name) -}}
{{- end -}}
{{- end -}}

{{- $was := ternary $v.was.autoscaling.maxReplicas $v.was.replicas $v.was.autoscaling.enabled -}}
{{- if gt (int $was) (int $v.homes) -}}
{{- $wrong = append $wrong (printf "%d gateways, and only %d homes: who has none never gets ready" (int $was) (int $v.homes)) -}}
{{- end -}}
{{- $classifiers := ternary $v.classifier.autoscaling.maxReplicas $v.classifier.replicas $v.classifier.autoscaling.enabled -}}
{{- if gt (int $classifiers) (int $v.lanes) -}}
{{- $wrong = append $wrong (printf "%d classifiers, and only %d lanes: the others would do nothing" (int $classifiers) (int $v.lanes)) -}}
{{- end -}}
{{- range $name, $targets := dict "was" (list "targetCPU" "targetSockets") "classifier" (list "targetCPU" "targetLag") "push" (list "targetCPU" "targetWaiting") -}}
{{- $scaling := (index $v $name).autoscaling -}}
{{- if and $scaling.enabled (or (ne $name "push") $v.push.enabled) -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- $wrong = append $wrong (printf "%s.autoscaling: minReplicas must not be above maxReplicas" $name) -}}
{{- end -}}
{{- if not (or (index $scaling (index $targets 0)) (index $scaling (index $targets 1)) $scaling.extraMetrics) -}}
{{- $wrong = append $wrong (printf "%s.autoscaling needs %s" $name (join " or " $targets)) -}}
{{- end -}}
{{- if and (index $scaling "targetCPU") (not (dig "resources" "requests" "cpu" "" (index $v $name))) -}}
{{- $wrong = append $wrong (printf "%s.autoscaling.targetCPU is a part of %s.resources.requests.cpu, which is not given" $name $name) -}}
{{- end -}}
{{- if and (eq $scaling.engine "keda") (index $scaling (index $targets 1)) (not $scaling.prometheus) -}}
{{- $wrong = append $wrong (printf "%s.autoscaling.%s with keda needs %s.autoscaling.prometheus" $name (index $targets 1) $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $drain := include "switchboard.seconds" (include "switchboard.setting" (list . "was" "drain" "10s")) | int -}}
{{- $spread := include "switchboard.seconds" (include "switchboard.setting" (list . "was" "drain_spread" "2s")) | int -}}
{{- if gt (mul 2 $spread) $drain -}}
{{- $wrong = append $wrong "settings.was.drain_spread must not be above half of settings.was.drain" -}}
{{- end -}}
{{- range $name := list "was" "classifier" "push" -}}
{{- $given := (index $v $name).terminationGracePeriodSeconds -}}
{{- $needed := include "switchboard.grace" (list $ $name) | int -}}
{{- if and (ne (toString $given) "") (lt (int $given) $needed) -}}
{{- $wrong = append $wrong (printf "%s.terminationGracePeriodSeconds must be at least %d, or a stop is cut off before it is done" $name $needed) -}}
{{- end -}}
{{- end -}}
{{- $pool := include "switchboard.setting" (list . "postgres" "pool" "16") | int -}}
{{- $workers := include "switchboard.setting" (list . "classifier" "workers" "1") | int -}}
{{- if lt $pool (add $workers 3 | int) -}}
{{- $wrong = append $wrong "settings.postgres.pool must be at least settings.classifier.workers + 3" -}}
{{- end -}}

{{- if $v.push.enabled -}}
{{- with $v.push.webhook -}}
{{- if and .url (not .existingSecret.name) (not .secret) -}}
{{- $wrong = append $wrong "push.webhook.secret must be given with url" -}}
{{- end -}}
{{- if not (or .existingSecret.name .url $v.push.fcm.existingSecret.name) -}}
{{- $wrong = append $wrong "push needs push.webhook or push.fcm, or both" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if and $v.networkPolicy.enabled $v.push.enabled $v.push.webhook.url -}}
{{- $at := urlParse $v.push.webhook.url -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $at.host) | default (ternary "443" "80" (eq $at.scheme "https")) | int -}}
{{- $ports := list -}}
{{- range $v.networkPolicy.egress.push.ports -}}{{- $ports = append $ports (int .) -}}{{- end -}}
{{- if not (has $port $ports) -}}
{{- $wrong = append $wrong (printf "networkPolicy.egress.push.ports must have %d, the port of push.webhook.url" $port) -}}
{{- end -}}
{{- end -}}
{{- if $v.networkPolicy.enabled -}}
{{- $usual := dict "postgres" 5432 "redis" (ternary 26379 6379 (ne $v.redis.sentinel.master "")) -}}
{{- $allowed := dict "postgres" ($v.networkPolicy.egress.postgres.ports | default (list $v.postgres.port)) "redis" ($v.networkPolicy.egress.redis.ports | default (list 6379)) -}}
{{- range $name := list "postgres" "redis" -}}
{{- $open := list -}}
{{- range index $allowed $name -}}{{- $open = append $open (int .) -}}{{- end -}}
{{- with (index $v $name).url -}}
{{- range $address := regexReplaceAll "^[a-z]+://" . "" | regexFind "^[^/?]*" | regexFind "[^@]*$" | splitList "," -}}
{{- $port := regexFind ":[0-9]+$" $address | trimPrefix ":" | default (index $usual $name) | int -}}
{{- if not (has $port $open) -}}
{{- $wrong = append $wrong (printf "networkPolicy.egress.%s.ports must have %d, the port of %s.url" $name $port $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled $v.push.enabled $v.push.fcm.existingSecret.name (not (include "switchboard.setting" (list . "push" "fcm_url" ""))) -}}
{{- $open := false -}}
{{- range $v.networkPolicy.egress.push.ports -}}{{- if eq (int .) 443 -}}{{- $open = true -}}{{- end -}}{{- end -}}
{{- if not $open -}}
{{- $wrong = append $wrong "networkPolicy.egress.push.ports must have 443, the port of FCM" -}}
{{- end -}}
{{- end -}}
{{- if and $dev (eq $v.setup.mode "hook") -}}
{{- $wrong = append $wrong "setup.mode must be init with dev.enabled: a hook would run before its servers are there" -}}
{{- end -}}
{{- if and $dev (gt (int $v.kafka.replication) 1) (not $v.kafka.brokers) -}}
{{- $wrong = append $wrong "kafka.replication must be 1 with dev.enabled: there is one broker" -}}
{{- end -}}
{{- if and $v.tests.load (not $v.auth.devTokens) -}}
{{- $wrong = append $wrong "tests.load needs auth.devTokens" -}}
{{- end -}}
{{- if and $v.gateway.create (not (and $v.gateway.className $v.gateway.listeners)) -}}
{{- $wrong = append $wrong "gateway.create needs gateway.className and gateway.listeners" -}}
{{- end -}}
{{- if and $v.gateway.httpRoute.enabled (not $v.gateway.create) (not $v.gateway.httpRoute.parentRefs) -}}
{{- $wrong = append $wrong "gateway.httpRoute.parentRefs must be given, or gateway.create" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) -}}
{{- $wrong = append $wrong "ingress.hosts must be given" -}}
{{- end -}}
{{- range $name := list "was" "classifier" "push" -}}
{{- range (index $v $name).extraEnv -}}
{{- if has .name (list "SWITCHBOARD_WAS_NAME" "SWITCHBOARD_WAS_LISTEN" "SWITCHBOARD_ADMIN_LISTEN" "SWITCHBOARD_CONFIG" "SWITCHBOARD_CLASSIFIER_NAME") -}}
{{- $wrong = append $wrong (printf "%s.extraEnv: %s is the chart's" $name .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $alerts := .Files.Get "files/alerts.yaml" | fromYaml -}}
{{- $names := list -}}
{{- range $alerts.groups -}}{{- range .rules -}}{{- $names = append $names .alert -}}{{- end -}}{{- end -}}
{{- range $v.metrics.prometheusRule.disabled -}}
{{- if not (has . $names) -}}{{- $wrong = append $wrong (printf "metrics.prometheusRule.disabled: there is no alert %s" .) -}}{{- end -}}
{{- end -}}
{{- range $name, $_ := $v.metrics.prometheusRule.thresholds -}}
{{- if not (hasKey $alerts.thresholds $name) -}}
{{- $wrong = append $wrong (printf "metrics.prometheusRule.thresholds: there is no %s, only %s" $name (keys $alerts.thresholds | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}

{{- with $v.metrics.serviceMonitor -}}
{{- if .enabled -}}
{{- $every := include "switchboard.seconds" .interval | int -}}
{{- if gt (include "switchboard.seconds" .scrapeTimeout | int) $every -}}
{{- $wrong = append $wrong "metrics.serviceMonitor.scrapeTimeout must not be above interval: the operator would pass the ServiceMonitor over" -}}
{{- end -}}
{{- if and $v.metrics.prometheusRule.enabled (gt $every 60) -}}
{{- $wrong = append $wrong "metrics.serviceMonitor.interval must not be above 1m with metrics.prometheusRule: alerts look back two minutes" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nThese values can't be used:\n  - %s\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}

{{/* Seconds that a stop needs: (list root component) */}}
{{- define "switchboard.grace" -}}
{{- $root := index . 0 -}}
{{- if eq (index . 1) "was" -}}
{{- add $root.Values.was.preStopSeconds (include "switchboard.seconds" (include "switchboard.setting" (list $root "was" "drain" "10s"))) 5 -}}
{{- else -}}
{{- add (include "switchboard.seconds" (include "switchboard.setting" (list $root "classifier" "drain" "10s"))) 5 -}}
{{- end -}}
{{- end -}}
