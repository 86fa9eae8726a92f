"""What if DNS fails at peak? An operator's configuration, DNS that fails by a script, load, and a report.

`python -m tools.whatif --config fastvhost.toml --script '10 s: silent; 30 s: normal' --report outage.html`
"""
