"""The part of the Prometheus HTTP API that Grafana needs, over the stored aggregates.

Paths, parameters, results and errors follow the HTTP API of Prometheus 2; queries are a subset of
PromQL, which docs/grafana.md describes.
"""
