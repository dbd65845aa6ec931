"""Every error of base/errors, told in both languages from its fields.

The English text is the error's own message wherever it has one; what stands here in English is shown only
where a name comes without a message.
"""

from ...evaluation.notes import NOTES

TEXTS = {
    "error.FinancialModelError": ("出错了。", "Something went wrong."),
    "error.BadSetting": ("{setting} 的值“{seen}”不可用，应为{expected}。", "A setting is out of its range."),
    "error.MissingSetting": ("没有给出{setting}，请指定{expected}。", "A setting was not given."),
    "error.UnsafePath": (
        "“{name}”不能用作名称或路径。请使用工作区内的文件夹，名称只含文字、数字、下划线和连字符。",
        "This name or path cannot be used.",
    ),
    "error.WorkspaceBusy": (
        "{what}正被另一个进程占用（{owner}）。请等它结束，或先停止它。",
        "Another process is at work here.",
    ),
    "error.DiskFull": (
        "磁盘空间不足，无法写入 {path}。原文件未受影响；请腾出空间后重试。",
        "The disk is full; the old file is untouched.",
    ),
    "error.UnwritablePath": ("无法写入 {path}（{reason}）。请换一个位置。", "This cannot be written."),
    "error.DamagedFile": ("{path} 无法读取（{reason}）。请删除它，或换回备份。", "A file cannot be read."),
    "error.StopRequested": ("已按要求停止。", "Stopped as asked."),
    "error.UnusableForecasts": ("这些预测无法评估（{reason}）。", "These forecasts cannot be judged."),
    "error.SeenInTraining": (
        "从 {first} 开始的测试会用到训练或验证过的交易日（截至 {last_seen}）。"
        "请从 {first_allowed} 或更晚开始。",
        "The test range was seen in training.",
    ),
    "error.EmptyTestRange": (
        "{first} 至 {last} 没有可评估的交易日（行情截至 {last_session}）。请换一个区间，或下载更新的行情。",
        "There is nothing to judge in this range.",
    ),
    "error.CheckpointError": ("检查点 {path} 不可用（{reason}）。", "The checkpoint cannot be used."),
    "error.DamagedCheckpoint": (
        "检查点 {path} 不完整或已损坏（{reason}）。请换一个检查点，或重新训练。",
        "The checkpoint is damaged.",
    ),
    "error.ForeignCheckpoint": (
        "{path} 不是本程序的检查点（{reason}）。请选择由“训练”生成的 .pt 文件。",
        "This is not a checkpoint of this program.",
    ),
    "error.CheckpointMismatch": (
        "检查点 {path} 与当前数据或用途不符（{reason}）。请选择另一个检查点。",
        "The checkpoint does not fit.",
    ),
    "error.TooFewSessions": (
        "{what} 只有 {found} 个交易日，至少需要 {needed} 个。请补充更早的行情，或缩短回看长度。",
        "Too few sessions.",
    ),
    "error.NotTraded": (
        "{code} 在 {as_of} 没有交易（停牌或未上市）。最近可用的交易日：{nearest}。",
        "The stock did not trade on that day.",
    ),
    "error.CodeNotInPanel": (
        "面板里没有 {code}（共 {known_count} 只）。请检查代码，或先下载这只股票。",
        "The code is not in the panel.",
    ),
    "error.NonFiniteLoss": (
        "第 {step} 步的损失不是有效数字。{saved} 请调低学习率后从检查点继续。",
        "The loss was not a number.",
    ),
    "error.OutOfMemory": (
        "{device} 的内存不足，放不下 {batch_size} 个样本的批次。把批大小减半再继续。",
        "Out of memory; halve the batch size.",
    ),
    "error.UnknownCode": (
        "“{seen}”不是 A 股或指数代码（不支持基金、债券和 B 股）。"
        "请写六位数字，可带交易所，如 600519、SZ000001。",
        "This is no code of an A share.",
    ),
    "error.CodeNotHeld": ("{where} 中没有 {code}。", "The code is not held."),
    "error.NoBarsFound": (
        "{path} 里没有可用的日线。需要：每只股票一个 CSV，或通达信的 vipdoc 文件夹。",
        "No bars found.",
    ),
    "error.PathNotFound": ("没有 {path} 这个文件或文件夹，请检查写法。", "This path is not there."),
    "error.NoFileNamedByCode": (
        "{path} 里没有以 A 股或指数代码命名的文件（{files}）。"
        "请每只股票一个文件、以代码命名，如 SH600000.csv；多只股票合在一起的文件请先拆开。"
        "不支持基金、债券和 B 股。",
        "No file is named by a code.",
    ),
    "error.BadTable": (
        "{path}，{where}：读到“{seen}”，应为 {expected}。请改正后重试。",
        "A table cannot be read.",
    ),
    "error.NothingUsable": ("{what} 全部不可用。{failures}", "None could be used."),
    "error.MixedMarkets": (
        "这个工作区里已有另一种行情，练习行情与真实行情不能放在一起。请换一个工作区文件夹。",
        "Practice and real bars cannot be mixed.",
    ),
    "error.NoPanel": ("面板还没有整理。请先下载、导入或生成行情。", "There is no panel yet."),
    "error.PanelChanged": (
        "{what}进行期间面板被重新整理过（{path}），前后数据不一致。请在新面板上重新开始。",
        "The panel was built anew meanwhile.",
    ),
    "error.BadConditions": ("条件列“{name}”与面板不符（{reason}）。", "A condition column does not fit."),
    "error.QueueFull": ("已有 {waiting} 个任务在排队。请先停止一些，或等它们结束。", "Too many jobs wait."),
    "error.NoSuchJob": ("这个工作区里没有任务 {job}。", "There is no such job."),
    "error.NoSuchRun": ("这个工作区里没有这条训练记录，请在列表中选择。", "There is no such run."),
    "error.NoServerAnswers": (
        "行情服务器都没有应答（试了 {tried_count} 台）。"
        "请检查网络与端口 7709，或导入本地文件、使用练习行情。",
        "No quote server answers.",
    ),
    "error.NothingToRetry": ("没有上次失败的股票需要重试。", "Nothing failed last time."),
    "error.InternalError": (
        "程序内部出错（{message}）。详情见日志。",
        "A fault of the program; see the log.",
    ),
    # What a job warns of, by the key of its event; filled in with the event's fields.
    "job.more_warnings": ("另有 {count} 条提示，见日志。", "{count} more warnings in the log."),
    "warning.download.servers_found": (
        "能给出日线的行情服务器 {count} 台，最快 {latency_ms} 毫秒应答。",
        "Quote servers that serve bars: {count}; the fastest answers in {latency_ms} ms.",
    ),
    "warning.features_not_kept": (
        "特征没有存下，下次要重新计算；原因见日志。",
        "The features are not kept and will be computed again; the log says why.",
    ),
    "warning.download.servers_slow": (
        "行情服务器较慢（每次应答 {latency_ms} 毫秒，每只约十次）。"
        "可增加并发连接或换近处的服务器；停止后已下载的都在。",
        "The servers are slow ({latency_ms} ms an answer, ten answers a stock). More connections or a nearer "
        "server help; what came stays when you stop.",
    ),
    "warning.download.universe_missing": (
        "服务器没有给出：{missing}。之前得到的保留不变。",
        "The servers did not give: {missing}. What was learned earlier stays.",
    ),
    "warning.download.revision": (
        "{code}：数据源改动了过去 {sessions} 个交易日，新旧两版都在 {file}。",
        "{code}: the source tells {sessions} earlier sessions differently now; both versions are in {file}.",
    ),
    "warning.import.volume_units": ("成交量单位判定为：{units}。", "Volumes were read as: {units}."),
    "warning.import.volume_assumed": (
        "{count} 个文件没有成交额，无法核对成交量单位，已按股处理。如果是手（例如 tushare 的 vol），"
        "请把成交量单位改为“手”（--volume-unit lots）再导入一次。",
        "{count} files hold no amounts to tell the unit of their volumes by, which were taken for shares. If "
        "they are in lots of 100 (as the vol of tushare is), import again with --volume-unit lots.",
    ),
    "warning.import.unadjusted": (
        "{stocks} 只股票中有 {count} 只没有除权除息资料，价格未复权，分红会被当成下跌。"
        "请把 corporate_actions.csv 放进数据旁的 reference/ 目录，再导入一次。",
        "{count} of {stocks} stocks came in without corporate actions: their prices stay unadjusted, and a "
        "dividend looks like a loss. Put corporate_actions.csv into reference/ beside the bars and import "
        "again.",
    ),
    "warning.import.left_out": ("{name} 没有导入，原因见日志。", "{name} was left out; the log says why."),
    "warning.quality.set_aside": (
        "{count} 行明显有误，已移到 full_stock_data/set_aside，原因见 quality.csv。",
        "{count} rows cannot be right and were set aside in full_stock_data/set_aside; quality.csv says why.",
    ),
    "warning.build.industry_late": (
        "面板中 {percent}% 的行没有行业，按“其他”处理：industries.csv 从 {since} 才开始。请把带历史的 "
        "industries.csv（code, from, to, scheme, industry）放进 full_stock_data/，或放进所导入日线旁的 "
        "reference/，再重新整理面板。",
        "{percent} % of the panel's rows have no industry and count as other: industries.csv begins on "
        "{since}. Put an industries.csv with history (code, from, to, scheme, industry) into "
        "full_stock_data/, or into reference/ beside bars that you import, and build the panel again.",
    ),
    "warning.build.industry_none": (
        "面板中 {percent}% 的行没有行业，按“其他”处理：还没有 industries.csv。请把带历史的 "
        "industries.csv（code, from, to, scheme, industry）放进 full_stock_data/，或放进所导入日线旁的 "
        "reference/，再重新整理面板。",
        "{percent} % of the panel's rows have no industry and count as other: there is no industries.csv. "
        "Put one with history (code, from, to, scheme, industry) into full_stock_data/, or into reference/ "
        "beside bars that you import, and build the panel again.",
    ),
    "warning.no_amp": (
        "CPU 上混合精度不会更快，已关闭。",
        "Mixed precision is off: it is no faster on a CPU.",
    ),
    "warning.not_compiled": (
        "训练步无法编译，已按普通方式运行：{reason}",
        "The step could not be compiled and runs uncompiled: {reason}",
    ),
    "warning.no_lightgbm": ("未安装 LightGBM，略去这个基线。", "LightGBM is not installed: left out."),
    **{f"warning.{key}": texts for key, texts in NOTES.items()},
}
