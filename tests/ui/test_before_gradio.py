"""Gradio is imported without the work that only its own makers need."""

import subprocess
import sys

COUNTED = """
import ast, os
os.environ["no_proxy"] = "example.org"
parsed = []
parse = ast.parse
ast.parse = lambda source, *others, **named: parsed.append(source) or parse(source, *others, **named)
import financial_model.ui.app
import gradio as gr, gradio.component_meta
with gr.Blocks():
    gr.Button().click(lambda: None)
components = [one for one in parsed if isinstance(one, str) and "(Component" in one and "EVENTS" in one]
print(len(components), hasattr(gradio.component_meta, "create_or_modify_pyi"))
print(os.environ["GRADIO_ANALYTICS_ENABLED"], os.environ["no_proxy"])
"""


def test_no_source_of_a_component_is_parsed_at_the_start_and_events_work():
    told = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["0 True", "False example.org,localhost,127.0.0.1,::1"]
