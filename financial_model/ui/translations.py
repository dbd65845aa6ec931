"""Every text of the page, Chinese and English side by side, under one key.

The tables stand in `texts/`, one file a tab; this puts them together and fills them in. Errors are told
from their class name and fields (`error.BadSetting`), never by parsing English.
"""

import re
from typing import Any

from ..evaluation.notes import units_in_chinese
from .texts import TABLES

LANGUAGES = ("zh", "en")
TEXTS: dict[str, tuple[str, str]] = {key: pair for table in TABLES for key, pair in table.items()}

# What errors say they expected, in the words of base/config, and the same in Chinese.
EXPECTED: tuple[tuple[str, str], ...] = (
    (r"a number from (\S+) to (\S+)", r"\1 到 \2 之间的数"),
    (r"a date after (\S+) \((\S+)\)", r"晚于 {\1}（\2）的日期"),
    (r"a date such as (\S+)", r"形如 \1 的日期"),
    (r"a divisor of (\S+) \((\S+)\)", r"{\1}（\2）的约数"),
    (r"one of (.+) in industry mode", r"单一行业模式下须为 \1 之一"),
    (r"one of (.+)", r"\1 之一"),
    (r"a value of type (int|float)", "一个数"),
    (r"a value of type str", "一段文字"),
    (r"a value of type bool", "是或否"),
    (r"a list", "一个列表"),
    (r"(.+), as the run that is resumed has it: .+", r" \1（续训沿用原来的设置；要改请重新训练）"),
    (r"a trained model", "一个训练好的模型"),
    (r"a folder or file that exists", "一个存在的文件夹或文件"),
    (r"a file of bars, or a folder.+", "一个行情文件，或含 CSV 或 vipdoc 的文件夹"),
    (r"(one or more|a) \.pt files? that a training wrote", "训练生成的 .pt 文件"),
    (r"a value: it has no default", "一个值"),
    (r"the column of codes", "代码列"),
    (r"the header", "表头"),
    (r"the title", "标题"),
    (r"the rows", "数据行"),
    (r"line (\d+), column (\w+)", r"第 \1 行 \2 列"),
    (r"one stock a file, named by its code", "每个文件一只股票，以代码命名"),
    (r"(\w+), which the file's name says", r"文件名所写的 \1"),
    (r"raw prices: export with 不复权", "不复权价格（导出时选“不复权”）"),
    (r"a number", "一个数"),
    (r"it is a folder", "它是文件夹"),
    (r"(.+) is a file and no folder", r"\1 是文件，不是文件夹"),
    (r"it is there already, and (.+) is not", r"已有同名文件，而 \1 不存在：不会覆盖别的文件"),
    (r"nothing may be written into (.+)", r"没有写入 \1 的权限"),
    (r"codes", "代码"),
    (r"stocks", "股票"),
    (r"a JSON object.*", "一组设置"),
    (r"no (\S+) beside it: one or the other", r"不能同时给出 \1，只能二选一"),
    (r"either one as-of date or a range, not both", "基准日和区间只能二选一"),
)


# Which part of a workspace is in use, and by whom, as its locks say, and the same in Chinese.
BUSY: tuple[tuple[str, str], ...] = (
    (r"The store of bars \((\S+)\)", r"行情数据（\1）"),
    (r"The panel \((\S+)\)", r"面板（\1）"),
    (r"The run (\S+)", r"训练 \1 "),
    (r"The walk-forward (\S+)", r"滚动评估 \1 "),
    (r"The walk-forward", "滚动评估"),
    (r"(\S+) pid (\d+)", r"<\1>，进程 \2"),
    (r"a training that goes on", "训练还在进行"),
    (r"unknown", "未知进程"),
)

# What the machine check measured, in its words, and the same in Chinese.
MEASURED: tuple[tuple[str, str], ...] = (
    (r"no CUDA device(, the CPU is used)?", "无 CUDA 设备，使用 CPU"),
    (r"(.+), a product took (\S+ ms)", r"\1，矩阵乘 \2"),
    (r"none of (\d+) servers answers?", r"\1 台均未应答"),
    (r"(\d+) of (\d+) answer, best (\S+ ms)", r"\2 台中 \1 台应答，最快 \3"),
    (r"(\S+) GB free", r"\1 GB 可用"),
    (r"(\d+) is free", r"\1 空闲"),
    (r"a page of Hermes is open at (\S+): .+", r"\1 上已有 Hermes 页面：直接打开它，或用 --port 另开一个"),
    (
        r"another program answers at (\d+): .+",
        r"\1 被其他程序占用：页面会用下一个空闲端口，或 --port 指定的端口",
    ),
    (r"(\d+) answers.*", r"\1 已被占用"),
    (r"missing: (.+)", r"缺少：\1"),
    (r"(\S+) is not installed", r"未安装 \1"),
    (r"not installed; eager kernels are used", "未安装，使用普通算子"),
    (r"(triton \S+); used on a CUDA device", r"\1，有 CUDA 设备时启用"),
    (r"none; --compile falls back", "无，编译选项不起作用"),
    (r"(.+) cannot be written", r"\1 不可写"),
    (r"(torch \S+), (\d+) threads?", r"\1，\2 线程"),
)


class Translate:
    """`t(key, **fields)`: the text of a key in one language, filled in.

    >>> Translate("en")("job.state.queued"), Translate("zh")("job.state.queued")
    ('queued', '排队')
    """

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else LANGUAGES[0]
        self._column = LANGUAGES.index(self.language)

    def __call__(self, key: str, **fields: Any) -> str:
        text = TEXTS[key][self._column]
        return text.format(**fields) if fields else text

    def has(self, key: str) -> bool:
        return key in TEXTS

    def choice(self, prefix: str, value: Any) -> str:
        """The name of a value where it has one under this prefix, else the value itself."""
        key = f"{prefix}.{value}"
        return self(key) if key in TEXTS else str(value)

    # ------------------------------------------------------------------ figures

    def count(self, value: float, digits: int = 0) -> str:
        """A count as people write it: 4.86 万, 3.2 亿 / 48.6 k, 3.2 M; below ten thousand in full."""
        size = abs(value)
        steps: tuple[tuple[float, str], ...]
        if self.language == "zh":
            steps = ((1e8, " 亿"), (1e4, " 万"))
        else:
            steps = ((1e9, " B"), (1e6, " M"), (1e4, " k"))
        for step, unit in steps:
            if size >= step:
                scaled = value / (1e3 if unit == " k" else step)
                return minus(f"{scaled:.3g}" if abs(scaled) < 1000 else f"{scaled:,.0f}") + unit
        return minus(f"{value:,.{digits}f}")

    def duration(self, seconds: float) -> str:
        """1:08, or 2:05:00 from an hour on."""
        whole = max(0, round(seconds))
        hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
        return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

    def duration_words(self, seconds: float) -> str:
        """6 分 40 秒 / 6 min 40 s."""
        whole = max(0, round(seconds))
        hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
        if hours:
            return self("duration.hours", hours=hours, minutes=minutes)
        return (
            self("duration.minutes", minutes=minutes, seconds=f"{rest:02}")
            if minutes
            else self("duration.seconds", seconds=rest)
        )

    def measured(self, value: str) -> str:
        """What a check measured, in this language.

        >>> Translate("zh").measured("62.6 GB free")
        '62.6 GB 可用'
        """
        return _in_chinese(MEASURED, value) if self.language == "zh" else value

    def check(self, name: str, value: str) -> str:
        """A measured value shortened to what a person looks for."""
        return self.measured(value.split(",")[0] if name in ("torch", "gpu", "python") else value)

    # ------------------------------------------------------------------ errors

    def error(self, name: str, message: str, fields: dict[str, Any]) -> str:
        """What went wrong, in this language; the English message itself where no template fits."""
        pair = TEXTS.get(f"error.{name}")
        if pair is None or self.language == "en":
            return message
        try:
            return pair[self._column].format_map(
                {name: self._field(name, value) for name, value in fields.items()}
            )
        except (KeyError, IndexError, ValueError):
            return message

    def warning(self, event: dict[str, Any]) -> str:
        """What a job warns of, in this language; its own words where it has no text here.

        >>> Translate("zh").warning({"key": "no_amp", "message": "Mixed precision is left out."})
        'CPU 上混合精度不会更快，已关闭。'
        """
        text, key = str(event.get("message", "")), f"warning.{event.get('key')}"
        if self.language == "en" and text:
            return text
        try:
            fields = {name: self._field(name, value) for name, value in event.items()}
            return TEXTS[key][self._column].format_map(fields)
        except (KeyError, IndexError, ValueError):
            return text

    def _field(self, name: str, value: Any) -> str:
        if name == "setting":
            return self.choice("setting", value)
        if name == "units":  # those of one file, or how many files came in which
            counts = value.items() if isinstance(value, dict) else [(value, None)]
            return "、".join(units_in_chinese(str(unit)) + (f" {n} 只" if n else "") for unit, n in counts)
        if name in ("what", "owner") and self.language == "zh":
            named = _in_chinese(BUSY, str(value))
            if named != value:
                return re.sub(r"<([\w-]+)>", lambda found: self.choice("job.name", found[1]), named)
        if name in ("expected", "remedy", "reason", "where", "what"):
            return self._expected(str(value))
        if isinstance(value, dict):
            return "；".join(f"{key}：{self._expected(str(item))}" for key, item in list(value.items())[:3])
        if isinstance(value, list):
            return "、".join(str(item) for item in value[:12])
        return "空" if value is None or value == "" else str(value)

    def _expected(self, text: str) -> str:
        if self.language == "en":
            return text
        named = _in_chinese(EXPECTED, text)
        return re.sub(r"\{(\w+)\}", lambda found: self.choice("setting", found[1]), named)


def _in_chinese(table: tuple[tuple[str, str], ...], text: str) -> str:
    """The first entry of a table that fits the whole text, filled in; the text itself when none does."""
    for pattern, chinese in table:
        if match := re.fullmatch(pattern, text.rstrip(".")):
            return match.expand(chinese)
    return text


def minus(text: str) -> str:
    """The text with real minus signs.

    >>> minus("-0.5")
    '−0.5'
    """
    return text.replace("-", "−")


def figure(value: float | None, digits: int = 4, *, signed: bool = False) -> str:
    """A number for people, or a dash where it is not known.

    >>> figure(-0.0589), figure(0.1, 2, signed=True), figure(None)
    ('−0.0589', '+0.10', '—')
    """
    if value is None or value != value:
        return "—"
    return minus(f"{value:{'+' if signed else ''},.{digits}f}")


def percent(value: float | None, digits: int = 1, *, signed: bool = False) -> str:
    """A fraction as percent.

    >>> percent(-0.0374), percent(0.13, 0, signed=True)
    ('−3.7 %', '+13 %')
    """
    return "—" if value is None or value != value else figure(100 * value, digits, signed=signed) + " %"
