"""Dashboards for Grafana, made from code."""
